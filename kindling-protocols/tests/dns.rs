//! DNS through the engine.

#[path = "common/fixtures.rs"]
mod fixtures;

use kindling_protocols::{
    Registry,
    parsers::dns::{Config, Dns},
    testing::{Run, Transcript, laws},
};

/// A question for an address of `a.b`, of this type, and the answers `yes` and `no such name`, escaped.
fn message(id: u8, flags: &str, kind: u8) -> String {
    format!(
        "\\x00\\x{id:02x}{flags}\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x01b\\x00\\x00\\x{kind:02x}\\x00\\x01\n"
    )
}

const ASKS: &str = "\\x01\\x00";
const YES: &str = "\\x81\\x80";
const NO_SUCH_NAME: &str = "\\x81\\x83";

fn registry() -> Registry {
    Registry::new().with::<Dns>()
}

fn transcript(text: &str) -> Transcript {
    Transcript::parse("dns", &format!("# protocol: dns\n# transport: udp\n# port: 53\n{text}")).unwrap()
}

#[test]
fn every_transcript_keeps_every_law() {
    fixtures::check("dns", &registry(), 29);
}

#[test]
fn a_question_sent_again_is_one_exchange() {
    let ask = format!(">>>\n{}", message(5, ASKS, 1));
    let answer = format!("<<<\n{}", message(5, YES, 1));
    let text = format!(
        "{ask}--- 1s\n{ask}--- 1s\n{ask}{answer}{answer}===> exchanges\n\
         complete\tA\ta.b\tNOERROR\t-\trequest_bytes=63\tkey=5\nunmatched\tA\ta.b\tNOERROR\t-"
    );
    let transcript = transcript(&text);
    laws::expected(&registry(), &transcript).unwrap();
    let run = Run::of(&registry(), &transcript).unwrap();
    assert!(run.exchanges[0].latency().unwrap().as_secs() >= 2, "from the first time it was sent");
    assert_eq!(run.ledger.exchanges.repeats, 2);
}

#[test]
fn an_answer_without_question_whose_id_is_in_use_twice_belongs_to_neither() {
    let text = format!(
        ">>>\n{}>>>\n{}<<<\n\\x00\\x05\\x81\\x81\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\n--- 11s\n===> exchanges\n\
         unmatched\t-\t-\tFORMERR\tFORMERR\tkey=5\nunanswered\tA\ta.b\t-\t-\nunanswered\tAAAA\ta.b\t-\t-",
        message(5, ASKS, 1),
        message(5, ASKS, 28)
    );
    laws::expected(&registry(), &transcript(&text)).unwrap();
}

#[test]
fn no_such_name_is_an_error_if_asked_for() {
    let text = format!(
        ">>>\n{}<<<\n{}===> exchanges\ncomplete\tA\ta.b\tNXDOMAIN\t",
        message(1, ASKS, 1),
        message(1, NO_SUCH_NAME, 1)
    );
    laws::expected(&registry(), &transcript(&format!("{text}-"))).unwrap();
    let strict = Registry::new().configured::<Dns>(Config::default().nxdomain_is_error(true));
    laws::expected(&strict, &transcript(&format!("{text}NXDOMAIN"))).unwrap();
}
