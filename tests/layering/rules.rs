//! Rules about single files: their length, the length of their functions, and what they must not name.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::sources::{Source, is_punct};

/// A file or function that may be longer than the budget, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Longer {
    /// Relative to the repository; of a function `file#name`.
    pub(crate) what: &'static str,
    /// How long it may be.
    pub(crate) lines: usize,
    /// Why it is not cut.
    pub(crate) why: &'static str,
}

/// Lines of a file without the tests at its end.
pub(crate) fn lines_before_tests(text: &str) -> usize {
    let mut lines = text.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{')) {
            break;
        }
        count += 1;
    }
    count
}

/// Files over `budget` lines that are not allowed to be, and allowances nobody needs.
pub(crate) fn long_files(files: &[(String, usize)], budget: usize, allowed: &[Longer]) -> Vec<String> {
    over(files, budget, allowed)
}

/// Functions over `budget` lines, tests aside.
pub(crate) fn long_functions(sources: &[Source], budget: usize, allowed: &[Longer]) -> Vec<String> {
    let mut functions = Vec::new();
    for source in sources {
        measure(source, &source.tokens, &mut functions);
    }
    over(&functions, budget, allowed)
}

fn over(measured: &[(String, usize)], budget: usize, allowed: &[Longer]) -> Vec<String> {
    let allowance = |what: &str| allowed.iter().find(|longer| longer.what == what);
    let too_long = measured.iter().filter_map(|(what, lines)| {
        let limit = allowance(what).map_or(budget, |longer| longer.lines);
        (*lines > limit).then(|| format!("{what}: {lines} lines, {limit} allowed"))
    });
    let idle = allowed.iter().filter_map(|longer| {
        let lines = measured.iter().filter(|(what, _)| what == longer.what).map(|(_, lines)| *lines).max();
        let idle = lines.is_none_or(|lines| lines <= budget);
        idle.then(|| format!("{}: needs no allowance ({})", longer.what, longer.why))
    });
    too_long.chain(idle).collect()
}

/// Lines of each function with a body, signature included.
fn measure(source: &Source, tokens: &TokenStream, functions: &mut Vec<(String, usize)>) {
    let tokens: Vec<_> = tokens.clone().into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            measure(source, &group.stream(), functions);
        }
        let (TokenTree::Ident(word), Some(TokenTree::Ident(name))) = (token, tokens.get(at + 1)) else { continue };
        if word != "fn" {
            continue;
        }
        let body = tokens[at..].iter().take_while(|token| !is_punct(token, ';')).find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        });
        if let Some(body) = body {
            let lines = body.span_close().end().line + 1 - word.span().start().line;
            functions.push((format!("{}#{name}", source.file.display()), lines));
        }
    }
}

/// Places where `source` names one of `forbidden`: paths by their last segments (`Instant::now`), or single words.
pub(crate) fn names(source: &Source, forbidden: &[&str]) -> Vec<String> {
    let wanted: Vec<(&str, Vec<&str>)> = forbidden.iter().map(|path| (*path, path.split("::").collect())).collect();
    let mut found = Vec::new();
    search(source, &source.tokens.clone().into_iter().collect::<Vec<_>>(), &[], &wanted, &mut found);
    found
}

/// `prefix` is the path whose branches `tokens` are, in a `use` tree.
fn search(
    source: &Source,
    tokens: &[TokenTree],
    prefix: &[String],
    wanted: &[(&str, Vec<&str>)],
    found: &mut Vec<String>,
) {
    let mut path = prefix.to_vec();
    let mut joined = true;
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                if !joined {
                    path.clear();
                }
                path.push(word.to_string());
                joined = false;
                let named = wanted
                    .iter()
                    .filter(|(_, words)| path.ends_with(&words.iter().map(ToString::to_string).collect::<Vec<_>>()));
                found.extend(named.map(|(name, _)| format!("{} names {name}", source.place(token))));
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => joined = true,
            TokenTree::Punct(mark) if mark.as_char() == ',' => {
                path = prefix.to_vec();
                joined = true;
            }
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                search(source, &inner, if joined { &path } else { &[] }, wanted, found);
                joined = false;
            }
            _ => {
                path.clear();
                joined = false;
            }
        }
    }
}

/// The crates of ours among a manifest's `[dependencies]`.
pub(crate) fn own_dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let entries = section.take_while(|line| !line.starts_with('['));
    let names = entries.filter_map(|line| Some(line.split(['.', '=', ' ']).next()?.trim().to_owned()));
    names.filter(|name| name.starts_with("kindling")).collect()
}

/// Lines of a listing of public items that name a crate which is neither ours nor in `shown`.
pub(crate) fn foreign(listing: &str, shown: &[&str]) -> Vec<String> {
    let known = |path: &str| path.starts_with("kindling") || shown.contains(&path);
    let named = |line: &&str| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let mut roots = words.filter_map(|word| word.split_once("::")).map(|(root, _)| root);
        roots.any(|root| root.starts_with(|c: char| c.is_ascii_lowercase()) && !known(root))
    };
    listing.lines().filter(named).map(str::to_owned).collect()
}

#[cfg(test)]
fn source(text: &str) -> Source {
    Source::new(std::path::Path::new("x.rs"), Vec::new(), text)
}

#[test]
fn too_long_is_named_and_so_is_an_allowance_nobody_needs() {
    let files = [("a".to_owned(), 401), ("b".to_owned(), 450), ("c".to_owned(), 400)];
    let allow = |what| Longer { what, lines: 450, why: "a table" };
    assert_eq!(
        long_files(&files, 400, &[allow("b"), allow("c")]),
        ["a: 401 lines, 400 allowed", "c: needs no allowance (a table)"]
    );
}

#[test]
fn tests_at_the_end_do_not_count() {
    assert_eq!(lines_before_tests("a\n#[cfg(test)]\nconst B: u8 = 1;\n#[cfg(test)]\nmod tests {\nc\n}\n"), 3);
}

#[test]
fn functions_are_measured_where_they_have_a_body() {
    let text = "trait T { fn a(); fn b() {\n\n} }\nfn c()\nwhere\n    u8: Copy,\n{\n    1;\n}";
    let found = long_functions(&[source(text)], 2, &[]);
    assert_eq!(found, ["x.rs#b: 3 lines, 2 allowed", "x.rs#c: 6 lines, 2 allowed"]);
}

#[test]
fn forbidden_names_are_found_in_code_and_not_in_comments_or_tests() {
    let text = "/// Instant::now\nfn f() { m!(std::time::Instant::now()); }\n#[cfg(test)]\nmod t { fn g() { Instant::now(); } }";
    assert_eq!(names(&source(text), &["Instant::now", "unsafe"]), ["x.rs:2 names Instant::now"]);
    assert_eq!(names(&source("unsafe fn f() {}"), &["unsafe"]), ["x.rs:1 names unsafe"]);
    assert_eq!(names(&source("use std::{io::{self, Read}, fs::File};"), &["std::fs"]), ["x.rs:1 names std::fs"]);
    assert_eq!(names(&source("fn f(std: u8, fs: u8) { std(fs) }"), &["std::fs"]), [""; 0]);
}

#[test]
fn only_dependencies_of_ours_that_are_built_in_count() {
    let manifest = "[dependencies]\nbytes.workspace = true\nkindling-core.workspace = true\nkindling-bpf = { path = \"x\" }\n\n[dev-dependencies]\nkindling-k8s = \"1\"\n";
    assert_eq!(own_dependencies(manifest), ["kindling-core", "kindling-bpf"]);
}

#[test]
fn crates_that_users_need_not_know_are_found() {
    let listing = "pub fn kindling_x::f(&nom::Err<T::E>) -> core::fmt::Result\npub fn kindling_x::g(bytes::Bytes)\n";
    assert_eq!(foreign(listing, &["core", "bytes"]), [listing.lines().next().unwrap()]);
}
