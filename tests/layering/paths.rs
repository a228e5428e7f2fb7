//! Which module a file's paths lead to.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::sources::{Source, is_punct};

/// One module names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The absolute path that is named, as far as it was written.
    pub(crate) path: Vec<String>,
    /// Where, for messages.
    pub(crate) place: String,
}

/// Every path of `source` that starts at `crate` or `super`, in `use` declarations, in code and inside macros.
pub(crate) fn uses(source: &Source) -> Vec<Use> {
    let mut found = Vec::new();
    walk(source, &source.tokens, &source.module, &mut found);
    found
}

/// What a crate's root re-exports: `name` to the path it comes from.
pub(crate) fn exports(root: &Source) -> BTreeMap<String, Vec<String>> {
    uses(root).into_iter().filter_map(|used| Some((used.path.last()?.clone(), used.path))).collect()
}

/// `here` is the module the tokens stand in, inline ones included.
fn walk(source: &Source, tokens: &TokenStream, here: &[String], found: &mut Vec<Use>) {
    let tokens: Vec<_> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(word) if word == "mod" => {
                if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                {
                    walk(source, &body.stream(), &[here, &[name.to_string()]].concat(), found);
                    at += 3;
                    continue;
                }
            }
            TokenTree::Ident(word) if (word == "crate" || word == "super") && is_path(&tokens, at + 1) => {
                let mut base = if word == "crate" { Vec::new() } else { parent(here) };
                at += 3;
                while matches!(tokens.get(at), Some(TokenTree::Ident(word)) if word == "super")
                    && is_path(&tokens, at + 1)
                {
                    base.pop();
                    at += 3;
                }
                at = follow(source, &tokens, at, &base, found);
                continue;
            }
            TokenTree::Group(group) => walk(source, &group.stream(), here, found),
            _ => {}
        }
        at += 1;
    }
}

/// Read the rest of a path (or a tree of paths) that starts at `base`; returns where it ends.
fn follow(source: &Source, tokens: &[TokenTree], mut at: usize, base: &[String], found: &mut Vec<Use>) -> usize {
    let mut path = base.to_vec();
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(name) => {
                if name != "self" {
                    path.push(name.to_string());
                }
                if !is_path(tokens, at + 1) {
                    found.push(Use { path, place: source.place(token) });
                    return at + 1;
                }
                at += 3;
            }
            TokenTree::Group(tree) if tree.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = tree.stream().into_iter().collect();
                for branch in inner.split(|token| is_punct(token, ',')).filter(|branch| !branch.is_empty()) {
                    follow(source, branch, 0, &path, found);
                }
                return at + 1;
            }
            // A glob names the module itself; generic arguments end a path.
            _ => {
                found.push(Use { path, place: source.place(token) });
                return at;
            }
        }
    }
    at
}

fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    [at, at + 1].iter().all(|at| tokens.get(*at).is_some_and(|token| is_punct(token, ':')))
}

fn parent(module: &[String]) -> Vec<String> {
    module.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default()
}

#[cfg(test)]
fn found(module: &str, text: &str) -> Vec<String> {
    let module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let source = Source::new(std::path::Path::new("x.rs"), module, text);
    uses(&source).into_iter().map(|used| used.path.join("::")).collect()
}

#[test]
fn trees_are_followed() {
    assert_eq!(found("a", "use crate::{b::{C, d::E}, f, g::*, h as i};"), ["b::C", "b::d::E", "f", "g", "h"]);
    assert_eq!(found("a", "use crate::b::{self, C};"), ["b", "b::C"]);
}

#[test]
fn paths_in_code_and_macros_count() {
    assert_eq!(found("a", "fn f(x: &crate::b::C<u8>) -> Option<crate::D> { g!(crate::e::F); }"), ["b::C", "D", "e::F"]);
}

#[test]
fn super_is_resolved_from_where_it_stands() {
    assert_eq!(
        found("a::b", "use super::c; mod i { use super::super::{d}; use super::e; }"),
        ["a::c", "a::d", "a::b::e"]
    );
}

#[test]
fn exports_lead_back_to_their_module() {
    let root = Source::new(std::path::Path::new("lib.rs"), Vec::new(), "pub use crate::{a::{B, c::D}};");
    assert_eq!(exports(&root).get("D").map(|path| path.join("::")), Some("a::c::D".into()));
}
