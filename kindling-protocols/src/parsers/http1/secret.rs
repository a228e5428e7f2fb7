//! What of a request target is a credential: by the name of a parameter, or by what it looks like.

use std::borrow::Cow;

use memchr::{memchr, memmem, memrchr};

/// Without percent-encoding, nor the one below it, as of a target inside a target.
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..LAYERS {
        if memchr(b'%', &text).is_none() {
            break;
        }
        text = Cow::Owned(decoded_once(&text));
    }
    text
}

fn decoded_once(text: &[u8]) -> Vec<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match tail {
            [high, low, after @ ..] if *first == b'%' => digit(high).zip(digit(low)).map(|(high, low)| {
                rest = after;
                (high * 16 + low) as u8
            }),
            _ => None,
        };
        out.push(byte.unwrap_or(*first));
    }
    out
}

/// Whether a parameter of this name holds a credential.
pub(super) fn is_named(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    // `user[pass]` and `connect.sid` too.
    if name.split(|b| matches!(b, b'[' | b']' | b'.' | b' ')).any(|part| WHOLE.contains(&part)) {
        return true;
    }
    let joined: Vec<u8> = name.into_iter().filter(|b| !matches!(b, b'_' | b'-' | b'.')).collect();
    PARTS.iter().any(|part| memmem::find(&joined, part).is_some())
}

/// Whether `text`, which is decoded, holds a credential. `authority`: whether it stands behind `//`.
pub(super) fn is_in(text: &[u8], authority: bool) -> bool {
    has_user(text, authority)
        || text.split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))).any(is_object)
        || text.split(|b| matches!(b, b'?' | b'&' | b';' | b'#' | b'/')).any(|piece| {
            memchr(b'=', piece)
                .map(|at| piece.split_at(at))
                .is_some_and(|(name, value)| value.len() > 1 && is_named(name))
        })
}

/// User and password: before an `@` behind `//`, or with a colon before any `@`.
fn has_user(text: &[u8], authority: bool) -> bool {
    if memchr(b':', text).zip(memrchr(b'@', text)).is_some_and(|(colon, at)| colon < at) {
        return true;
    }
    let authorities = memmem::find_iter(text, b"//").map(|at| at + 2).chain(authority.then_some(0));
    authorities.filter_map(|at| text.get(at..)).any(|rest| {
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b'&')).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        memchr(b'@', authority).is_some() || (end == rest.len() && is_cut_user(authority))
    })
}

/// A target may be cut before its `@`: then what stands behind the colon is no port.
fn is_cut_user(authority: &[u8]) -> bool {
    let port = memrchr(b':', authority).and_then(|at| authority.get(at + 1..)).unwrap_or_default();
    !authority.starts_with(b"[") && (port.len() > 5 || !port.iter().all(u8::is_ascii_digit))
}

/// A JSON object in base 64, as of a JSON Web Token.
fn is_object(word: &[u8]) -> bool {
    word.starts_with(b"eyJ") && (word.len() >= 16 || word.iter().filter(|b| **b == b'.').count() >= 2)
}

/// How often something may be percent-encoded and still be read.
const LAYERS: usize = 3;

const WHOLE: &[&[u8]] = &[
    b"sig",
    b"key",
    b"code",
    b"jwt",
    b"sid",
    b"pass",
    b"pw",
    b"pwd",
    b"otp",
    b"pin",
    b"auth",
    b"assertion",
    b"access",
    b"refresh",
    b"bearer",
    b"cred",
    b"creds",
    b"hmac",
    b"mac",
    b"ticket",
    b"saml",
];

/// As they stand in a name without `_`, `-` and `.`.
const PARTS: &[&[u8]] = &[
    b"token",
    b"secret",
    b"passw",
    b"passphrase",
    b"passcode",
    b"signature",
    b"apikey",
    b"appkey",
    b"authkey",
    b"accesskey",
    b"privatekey",
    b"subscriptionkey",
    b"credential",
    b"session",
    b"sessid",
    b"authorization",
    b"bearer",
    b"jwt",
    b"csrf",
    b"xsrf",
    b"samlresponse",
];
