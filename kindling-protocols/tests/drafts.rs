//! Two protocols that are not here yet, drafted as far as they ask something of the trait: it must carry them without knowing them.

#[path = "drafts/grpc.rs"]
mod grpc;
#[path = "drafts/mysql.rs"]
mod mysql;

use kindling_protocols::{
    Registry,
    testing::{Transcript, laws},
};

fn check(registry: &Registry, text: &str) {
    let transcript = Transcript::parse("draft", text).unwrap();
    laws::check_all(registry, &transcript).unwrap();
}

#[test]
fn mysql_prepared_statements() {
    let registry = Registry::new().with::<mysql::Mysql>();
    let text = "# protocol: mysql\n\
                >>>\n\\x09\\x00\\x00\\x00\\x16SELECT 1\n\
                <<<\n\\x05\\x00\\x00\\x01\\x00\\x07\\x00\\x00\\x00\n\
                >>>\n\\x05\\x00\\x00\\x00\\x17\\x07\\x00\\x00\\x00\n\
                <<<\n\\x01\\x00\\x00\\x01\\x02\\x03\\x00\\x00\\x02one\\x03\\x00\\x00\\x03two\n\
                >>>\n\\x05\\x00\\x00\\x00\\x19\\x07\\x00\\x00\\x00\n\
                >>>\n\\x05\\x00\\x00\\x00\\x17\\x09\\x00\\x00\\x00\n\
                <<<\n\\x03\\x00\\x00\\x01\\xff\\x15\\x04\n\
                ===> exchanges\n\
                complete\tPREPARE\tSELECT 1\tok\t-\n\
                complete\tEXECUTE\tSELECT 1\trows\t-\tresponse_bytes=19\n\
                one_way\tCLOSE\tSELECT 1\tok\t-\n\
                complete\tEXECUTE\t-\terror\terror\n";
    check(&registry, text);
}

#[test]
fn grpc_streams_in_both_directions() {
    let registry = Registry::new().with::<grpc::Grpc>();
    let frame = |kind: u8, ends: u8, stream: u8, body: &str| {
        format!("\\x00\\x00\\x{:02x}\\x{kind:02x}\\x{ends:02x}\\x00\\x00\\x00\\x{stream:02x}{body}", body.len())
    };
    let text = [
        "# protocol: grpc\n>>>\nPRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n".to_owned(),
        format!("{}{}\n", frame(1, 0, 1, "Chat"), frame(1, 0, 3, "Watch")),
        format!(">>>\n{}\n<<<\n{}\n", frame(0, 0, 1, "hello"), frame(1, 0, 1, "headers")),
        format!("<<<\n{}{}\n", frame(0, 0, 3, "event"), frame(0, 0, 1, "hi")),
        // Trailers may end a stream before its last request message: which of the two came first is part of what happened.
        format!("--- 20ms\n>>>\n{}\n--- 20ms\n<<<\n{}\n", frame(0, 1, 1, "bye"), frame(1, 1, 1, "0")),
        format!("--- 20ms\n>>>\n{}{}\n", frame(3, 0, 3, "code"), frame(1, 0, 5, "Late")),
        format!("--- 20ms\n<<<\n{}\n", frame(7, 0, 0, "enough")),
        "===> exchanges\ncomplete\tChat\t2 out, 1 in\t0\t-\tkey=-\n".to_owned(),
        "cancelled\tWatch\t0 out, 1 in\t-\t-\ncancelled\tLate\t0 out, 0 in\t-\t-\n".to_owned(),
    ];
    check(&registry, &text.concat());
}
