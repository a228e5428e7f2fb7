//! What is kept of an exchange.

use kindling_core::{Details, Text, Visit};

use super::{
    command::{self, Act},
    kind::Kind,
    reply::{Part, Reply},
    request::{Command, Name},
};
use crate::{protocol::Content, shape};

/// What is kept of a command and its answers, or of something sent unasked.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    name: Name,
    key: Text,
    commanded: bool,
    kind: Option<Kind>,
    elements: Option<u32>,
    error: Box<[u8]>,
    namespace: Option<u32>,
}

impl Summary {
    pub(super) fn asked(&mut self, command: &Command) {
        self.name = command.name.clone();
        self.key = command.key().clone();
        self.commanded = true;
    }

    pub(super) fn answered(&mut self, reply: &Reply) {
        if reply.part == Part::Unasked {
            return self.unasked(reply);
        }
        self.kind = Some(reply.kind());
        self.elements = reply.elements();
        self.namespace = reply.namespace;
        if !reply.error.is_empty() {
            self.error = reply.error.clone();
        }
    }

    fn unasked(&mut self, reply: &Reply) {
        match &reply.push {
            Some(push) => {
                self.name = Name::other(push.word.as_bytes());
                self.key = push.channel.clone();
            }
            None if reply.kind == Kind::Push => self.name = Name::other(b"_OTHER"),
            None => self.name = Name::other(b"MONITOR"),
        }
    }

    /// The first word of the error, if that is what it starts with.
    fn code(&self) -> Text {
        let word = self.error.split(|b| *b == b' ').next().unwrap_or_default();
        let is_code = (1..=command::LONGEST).contains(&word.len())
            && word.iter().all(|&b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if is_code { word.into() } else { "_OTHER".into() }
    }

    const fn failed(&self) -> bool {
        matches!(self.kind, Some(Kind::Error | Kind::BulkError))
    }

    pub(super) fn details(&self, content: Content) -> Details {
        let error = self.failed().then(|| match content {
            // Servers quote arguments in errors.
            Content::Raw if self.commanded && !self.name.quotes_secrets() => self.error.as_ref().into(),
            _ => self.code(),
        });
        Details {
            operation: self.name.text(),
            resource: match content {
                Content::Safe => shape::key(self.key.as_bytes()),
                Content::Raw => self.key.clone(),
            },
            status: self.kind.map(|_| if self.failed() { self.code() } else { "OK".into() }),
            error,
        }
    }

    pub(super) fn attributes(&self, visit: &mut dyn Visit) {
        visit.attribute("db.system.name", "redis".into());
        let operation = self.name.text();
        if !operation.is_empty() {
            visit.attribute("db.operation.name", operation.into());
        }
        if let Some(namespace) = self.namespace {
            visit.attribute("db.namespace", namespace.to_string().as_str().into());
        }
        let Some(kind) = self.kind else { return };
        if self.failed() {
            visit.attribute("db.response.status_code", self.code().into());
        }
        visit.attribute("redis.reply.type", kind.name().into());
        if let Some(elements) = self.elements {
            let name = if self.name.act() == Act::Exec { "db.operation.batch.size" } else { "redis.reply.elements" };
            visit.attribute(name, elements.into());
        }
        if self.name.act() == Act::Read && !self.failed() {
            visit.attribute("redis.hit", (kind != Kind::Nil).into());
        }
    }
}
