//! What is kept of an exchange.

use kindling_core::{Details, Text, Value, Visit};

use super::{
    Message, domain, names, rdata,
    wire::{self, Edns, Header},
};

/// What is kept of a question and its answers, or of an announcement.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    opcode: u8,
    id: u16,
    kind: u16,
    class: u16,
    name: Text,
    questions: u16,
    answered: Option<Answered>,
}

#[derive(Clone, Debug)]
struct Answered {
    flags: u16,
    rcode: u16,
    error: bool,
    /// Answers, authorities and additional records, over all messages.
    counts: [u64; 3],
    messages: u32,
    ttl_min: Option<u32>,
    edns: Option<Edns>,
    intact: bool,
    /// The start of the first message, and where its answers stand.
    wire: Vec<u8>,
    answers_at: usize,
    answers: u16,
}

impl Summary {
    pub(super) fn take(&mut self, message: &Message) {
        if !message.header.is_response() {
            return self.question(message);
        }
        if self.name.is_empty() {
            self.question(message);
        }
        let [_, counts @ ..] = message.header.counts;
        if let Some(answered) = &mut self.answered {
            answered.messages = answered.messages.saturating_add(1);
            answered.counts.iter_mut().zip(counts).for_each(|(sum, more)| *sum += u64::from(more));
            answered.ttl_min = answered.ttl_min.into_iter().chain(message.sections.ttl_min).min();
            answered.intact &= message.sections.intact;
            (answered.rcode, answered.error) = (message.rcode(), message.error);
            return;
        }
        let [answers, ..] = counts;
        let kept = if answers == 0 { 0 } else { KEPT };
        self.answered = Some(Answered {
            flags: message.header.flags,
            rcode: message.rcode(),
            error: message.error,
            counts: counts.map(u64::from),
            messages: 1,
            ttl_min: message.sections.ttl_min,
            edns: message.sections.edns,
            intact: message.sections.intact,
            wire: message.wire.get(..kept).unwrap_or(if answers == 0 { &[] } else { &message.wire }).to_vec(),
            answers_at: message.records_at,
            answers,
        });
    }

    fn question(&mut self, message: &Message) {
        let Header { id, counts: [questions, ..], .. } = message.header;
        (self.id, self.questions, self.opcode) = (id, questions, message.header.opcode());
        if let Some(question) = message.question {
            (self.kind, self.class) = (question.kind, question.class);
            self.name = message.name().unwrap_or_default();
        } else if let Some(record) = wire::record(&message.wire, message.records_at) {
            // An announcement has no question: it is known by what it announces first.
            (self.kind, self.class) = (record.kind, record.class);
            self.name = domain::text(&message.wire, record.name).unwrap_or_default();
        }
    }

    fn operation(&self) -> Text {
        match (self.opcode, self.name.is_empty()) {
            (0, true) => Text::new(),
            (0, false) => names::type_text(self.kind),
            (opcode, _) => names::opcode_text(opcode),
        }
    }

    pub(super) fn details(&self) -> Details {
        let status = self.answered.as_ref().map(|answered| names::rcode_text(answered.rcode));
        Details {
            operation: self.operation(),
            resource: self.name.clone(),
            error: status.clone().filter(|_| self.answered.as_ref().is_some_and(|answered| answered.error)),
            status,
        }
    }

    pub(super) fn attributes(&self, visit: &mut dyn Visit) {
        if !self.name.is_empty() {
            visit.attribute("dns.question.name", self.name.clone().into());
            visit.attribute("dns.question.type", names::type_text(self.kind).into());
            if self.class & 0x7fff != 1 {
                visit.attribute("dns.question.class", names::class_text(self.class).into());
            }
        }
        if self.questions > 1 {
            visit.attribute("dns.question.count", u32::from(self.questions).into());
        }
        visit.attribute("dns.id", u32::from(self.id).into());
        if self.opcode != 0 {
            visit.attribute("dns.opcode", names::opcode_text(self.opcode).into());
        }
        if let Some(answered) = &self.answered {
            answered.attributes(visit);
        }
    }
}

impl Answered {
    fn attributes(&self, visit: &mut dyn Visit) {
        visit.attribute("dns.response_code", names::rcode_text(self.rcode).into());
        visit.attribute("dns.flags", flags(self.flags).into());
        let [answers, authorities, additionals] = self.counts;
        visit.attribute("dns.answer.count", answers.into());
        if authorities > 0 {
            visit.attribute("dns.authority.count", authorities.into());
        }
        if additionals > 0 {
            visit.attribute("dns.additional.count", additionals.into());
        }
        if self.messages > 1 {
            visit.attribute("dns.message.count", self.messages.into());
        }
        if let Some(ttl) = self.ttl_min {
            visit.attribute("dns.answer.ttl_min", ttl.into());
        }
        if let Some(edns) = self.edns {
            visit.attribute("dns.edns.udp_size", u32::from(edns.udp_size).into());
            visit.attribute("dns.edns.dnssec_ok", edns.dnssec_ok.into());
        }
        if !self.intact {
            visit.attribute("dns.malformed", true.into());
        }
        let shown = usize::from(self.answers.min(SHOWN));
        let (mut kinds, mut answers) = (Vec::with_capacity(shown), Vec::with_capacity(shown));
        let mut at = self.answers_at;
        for _ in 0..shown {
            let Some(record) = wire::record(&self.wire, at) else { break };
            kinds.push(names::type_text(record.kind));
            answers.push(rdata::text(&self.wire, &record));
            at = record.end();
        }
        if !answers.is_empty() {
            visit.attribute("dns.answers", Value::List(answers));
            visit.attribute("dns.answer.types", Value::List(kinds));
        }
    }
}

/// The flags that are set, as `dig` writes them.
fn flags(flags: u16) -> Text {
    let mut out = Text::new();
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            if !out.is_empty() {
                out.push(b" ");
            }
            out.push(name.as_bytes());
        }
    }
    out
}

const FLAGS: [(u16, &str); 8] = [
    (0x8000, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (0x0100, "rd"),
    (0x0080, "ra"),
    (0x0040, "z"),
    (0x0020, "ad"),
    (0x0010, "cd"),
];

/// Most bytes kept of an answer, and most of its records shown.
const KEPT: usize = 4096;
const SHOWN: u16 = 64;
