//! The four forms of a request target ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-3.2) section 3.2), and what of
//! them may be shown.

use std::borrow::Cow;

use kindling_core::Text;
use memchr::{memchr, memchr3, memmem};

use super::secret;
use crate::shape;

/// A target taken apart. Any part may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Host and port of absolute-form and authority-form, without user and password.
    pub(super) authority: &'a [u8],
    /// From the first `/`; `*` of asterisk-form.
    pub(super) path: &'a [u8],
    /// After the first `?`.
    pub(super) query: &'a [u8],
}

impl<'a> Target<'a> {
    pub(super) fn parse(target: &'a [u8]) -> Self {
        let (authority, rest) = split_authority(target);
        let end = memchr3(b'?', b'#', b'#', rest).unwrap_or(rest.len());
        let (path, query) = rest.split_at(end);
        let query = query.strip_prefix(b"?").unwrap_or_default();
        Self {
            authority: without_userinfo(authority),
            path: if path.is_empty() && !authority.is_empty() { b"/" } else { path },
            query,
        }
    }

    /// What identifies the resource and holds no value: the template of the path; of a tunnel, where it leads.
    pub(super) fn template(target: &'a [u8], connect: bool) -> Text {
        let parts = Self::parse(target);
        if connect { parts.authority.into() } else { shape::path(parts.path) }
    }

    /// As it was sent, without credentials.
    pub(super) fn masked(target: &[u8]) -> Text {
        let mut out = Text::new();
        let (authority, rest) = split_authority(target);
        let before = target.len() - authority.len() - rest.len();
        out.push(target.get(..before).unwrap_or_default());
        if memchr(b'@', authority).is_some() {
            out.push(MASK);
            out.push(b"@");
        }
        out.push(without_userinfo(authority));
        mask_parameters(rest, &mut out);
        out
    }
}

/// The target without user and password. A target is stored cut to a length, and a password cut from its `@` could not be told any more.
pub(super) fn strip_userinfo(target: &[u8]) -> Cow<'_, [u8]> {
    let (authority, rest) = split_authority(target);
    if memchr(b'@', authority).is_none() {
        return Cow::Borrowed(target);
    }
    let scheme = target.get(..target.len() - authority.len() - rest.len()).unwrap_or_default();
    Cow::Owned([scheme, MASK, b"@", without_userinfo(authority), rest].concat())
}

/// Host and port; absent where there is no number.
pub(super) fn host_port(authority: &[u8]) -> (&[u8], Option<u32>) {
    // The colons of an IPv6 address stand in brackets.
    let host_end = match authority.strip_prefix(b"[") {
        Some(rest) => memchr(b']', rest).map_or(authority.len(), |end| end + 2),
        None => memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(host_end).unwrap_or((authority, b""));
    let port = port.strip_prefix(b":").and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
    (host, port.map(u32::from))
}

/// Without `user:password@`.
pub(super) fn without_userinfo(authority: &[u8]) -> &[u8] {
    authority.iter().rposition(|&b| b == b'@').and_then(|at| authority.get(at + 1..)).unwrap_or(authority)
}

/// Authority, user and password included, and what follows it.
fn split_authority(target: &[u8]) -> (&[u8], &[u8]) {
    if matches!(target, [b'/' | b'*' | b'?', ..]) {
        return (b"", target);
    }
    let scheme = memmem::find(target, b"://").filter(|&end| target.iter().take(end).all(|&b| is_scheme(b)));
    let rest = target.get(scheme.map_or(0, |end| end + 3)..).unwrap_or_default();
    let end = memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    rest.split_at(end)
}

const fn is_scheme(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')
}

/// Credentials are replaced, in the query and behind `;` in the path.
fn mask_parameters(text: &[u8], out: &mut Text) {
    let (path, query) = text.split_at(memchr3(b'?', b'#', b'#', text).unwrap_or(text.len()));
    mask_pieces(path, |b| matches!(b, b'/' | b';'), out);
    mask_pieces(query, |b| matches!(b, b'?' | b'&' | b';' | b'#'), out);
}

/// The query of a target, without the `?`.
pub(super) fn masked_query(query: &[u8]) -> Text {
    let mut out = Text::new();
    mask_pieces(query, |b| matches!(b, b'&' | b';' | b'#'), &mut out);
    out
}

fn mask_pieces(text: &[u8], separator: impl Fn(&u8) -> bool, out: &mut Text) {
    let mut slashes = 0;
    for piece in text.split_inclusive(&separator) {
        let (body, end) = match piece.split_last() {
            Some((last, body)) if separator(last) => (body, std::slice::from_ref(last)),
            _ => (piece, &b""[..]),
        };
        mask_piece(body, slashes >= 2, out);
        out.push(end);
        slashes = match (body, end) {
            ([], b"/") => slashes + 1,
            (_, b"/") => 1,
            _ => 0,
        };
    }
}

/// `authority`: whether the piece stands behind `//`.
fn mask_piece(piece: &[u8], authority: bool, out: &mut Text) {
    let secret = |text: &[u8]| secret::is_in(&secret::decoded(text), authority);
    match memchr(b'=', piece).map(|at| piece.split_at(at)) {
        Some((key, value))
            if value.len() > 1 && (secret::is_named(&secret::decoded(key)) || secret(value)) && !secret(key) =>
        {
            out.push(key);
            out.push(b"=");
            out.push(MASK);
        }
        _ if !secret(piece) => out.push(piece),
        _ => {
            out.push(MASK);
            let host = without_userinfo(piece);
            if host.len() < piece.len() && !secret(host) {
                out.push(b"@");
                out.push(host);
            }
        }
    }
}

const MASK: &[u8] = b"REDACTED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parse = |target: &'static str| {
            let found = Target::parse(target.as_bytes());
            [found.authority, found.path, found.query].map(|part| std::str::from_utf8(part).unwrap())
        };
        assert_eq!(parse("/a/b?c=d#e"), ["", "/a/b", "c=d#e"]);
        assert_eq!(parse("http://u:p@h:80/a?b"), ["h:80", "/a", "b"]);
        assert_eq!(parse("http://h?b"), ["h", "/", "b"]);
        assert_eq!(parse("https://h"), ["h", "/", ""]);
        assert_eq!(parse("h:443"), ["h:443", "/", ""]);
        assert_eq!(parse("*"), ["", "*", ""]);
        assert_eq!(parse("/redirect?to=http://u:p@h/"), ["", "/redirect", "to=http://u:p@h/"]);
    }

    #[test]
    fn templates() {
        let template = |target: &str, connect| Target::template(target.as_bytes(), connect).to_string();
        assert_eq!(template("http://u:p@h:80/users/17?x", false), "/users/*");
        assert_eq!(template("u:p@h:443", true), "h:443");
        assert_eq!(template("*", false), "*");
    }

    #[test]
    fn credentials_are_masked() {
        for (target, shown) in [
            ("/a?b=c&d", "/a?b=c&d"),
            ("/a?token=s3cret&b=c", "/a?token=REDACTED&b=c"),
            ("/a?b=c;Access_Token=s3cret#x", "/a?b=c;Access_Token=REDACTED#x"),
            ("/a;jsessionid=s3cret/b?X-Amz-Signature=s3cret", "/a;jsessionid=REDACTED/b?X-Amz-Signature=REDACTED"),
            ("/a?token=s3/cr=et", "/a?token=REDACTED"),
            ("/cb#access_token=s3cret", "/cb#access_token=REDACTED"),
            ("http://me:s3cret@h/p?api_key=", "http://REDACTED@h/p?api_key="),
            ("me:s3cret@h:443", "REDACTED@h:443"),
            ("http://me:s3@cret@h/", "http://REDACTED@h/"),
            ("/a?pass%77ord=s3cret&%74oken=s3cret", "/a?pass%77ord=REDACTED&%74oken=REDACTED"),
            ("/a?%2574oken=s3cret", "/a?%2574oken=REDACTED"),
            ("/a?bearer=s3cret&Refresh=s3cret&jwt=s3cret", "/a?bearer=REDACTED&Refresh=REDACTED&jwt=REDACTED"),
            ("/a?user[pass]=s3cret&private_key=s3cret", "/a?user[pass]=REDACTED&private_key=REDACTED"),
            ("/a?to=http://me:s3cret@h/&b=c", "/a?to=REDACTED&b=c"),
            ("/a?to=http%3A%2F%2Fme%3As3cret%40h%2F", "/a?to=REDACTED"),
            ("/a?to=%2Fcb%3Ftoken%3Ds3cret", "/a?to=REDACTED"),
            ("/a?http://s3cret@h/", "/a?REDACTED@h/"),
            ("//me:s3cret@h/x", "//REDACTED@h/x"),
            ("/to/http://me:s3cret@h/x", "/to/http://REDACTED@h/x"),
            ("/to/http://me:s3cret", "/to/http://REDACTED"),
            ("http://h/to/redis://:s3cret@h:1/x?token=s3cret", "http://h/to/redis://REDACTED@h:1/x?token=REDACTED"),
            ("x?token=s3cret&to=http://h/", "x?token=REDACTED&to=http://h/"),
            ("/v/eyJhbGciOiJub25lIn0.eyJzIjoxfQ.s3cret/x", "/v/REDACTED/x"),
            ("/v?a=Bearer%20eyJh.eyJz.s3cret", "/v?a=REDACTED"),
            (
                "/users/alice@example.com?sort=name&keyword=x&at=h:80",
                "/users/alice@example.com?sort=name&keyword=x&at=h:80",
            ),
            ("/to/http://h:80/x//y?u=http://h:80", "/to/http://h:80/x//y?u=http://h:80"),
        ] {
            assert_eq!(Target::masked(target.as_bytes()), shown, "{target}");
        }
        assert_eq!(&*strip_userinfo(b"http://me:s3cret@h/p"), b"http://REDACTED@h/p");
        assert_eq!(&*strip_userinfo(b"/me:s3cret@h/p"), b"/me:s3cret@h/p");
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_port(b"example.com"), (&b"example.com"[..], None));
        assert_eq!(host_port(b"example.com:8080"), (&b"example.com"[..], Some(8080)));
        assert_eq!(host_port(b"[::1]:80"), (&b"[::1]"[..], Some(80)));
        assert_eq!(host_port(b"[::1"), (&b"[::1"[..], None));
        assert_eq!(host_port(b"["), (&b"["[..], None));
        assert_eq!(host_port(b"h:99999"), (&b"h"[..], None));
    }
}
