//! The source files of a crate: where each stands in the module tree, and its tokens without those of tests.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One source file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Relative to the repository.
    pub(crate) file: PathBuf,
    /// Path of its module in the crate; empty for the root.
    pub(crate) module: Vec<String>,
    /// What is compiled outside of tests.
    pub(crate) tokens: TokenStream,
}

impl Source {
    /// A source by its text.
    pub(crate) fn new(file: &Path, module: Vec<String>, text: &str) -> Self {
        let tokens = TokenStream::from_str(text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Self { file: file.to_owned(), module, tokens: without_tests(tokens) }
    }

    /// Where `token` stands, for messages.
    pub(crate) fn place(&self, token: &TokenTree) -> String {
        format!("{}:{}", self.file.display(), token.span().start().line)
    }
}

/// All files under `src` of a crate but those that are compiled for tests only, in order of their paths.
pub(crate) fn of_crate(folder: &Path) -> Vec<Source> {
    let src = folder.join("src");
    let mut sources: Vec<_> = files(&src, "rs")
        .into_iter()
        .map(|file| {
            let module = module_of(file.strip_prefix(&src).expect("under src"));
            let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            (Source::new(&file, module, &text), text)
        })
        .collect();
    let tests: Vec<_> = sources.iter().flat_map(|(source, text)| test_modules(&source.module, text)).collect();
    sources.retain(|(source, _)| !tests.iter().any(|test| source.module.starts_with(test)));
    sources.into_iter().map(|(source, _)| source).collect()
}

/// Files with this extension under `folder`, sorted. No folder, no files.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `a/b/mod.rs` and `a/b.rs` are `a::b`; `lib.rs` and `main.rs` are the root.
pub(crate) fn module_of(path: &Path) -> Vec<String> {
    let mut parts: Vec<_> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Modules declared as `#[cfg(test)] mod name;`, with or without a path, whose files hold nothing but tests.
fn test_modules(parent: &[String], text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let path = lines.peek().and_then(|next| next.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
        if path.is_some() {
            lines.next();
        }
        let name = lines.peek().and_then(|next| next.strip_prefix("mod ")?.strip_suffix(';'));
        // A path is relative to the folder of the file, which for all but a `mod.rs` is the parent module's.
        found.extend(match (path, name) {
            (Some(path), Some(_)) => {
                Some([parent.split_last().map_or(&[][..], |(_, folder)| folder), &module_of(Path::new(path))].concat())
            }
            (None, Some(name)) => Some([parent, &[name.to_owned()]].concat()),
            _ => None,
        });
    }
    found
}

/// The tokens without items under `#[cfg(test)]` and `#[test]`.
fn without_tests(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_punct(&token, '#')
            && let Some(TokenTree::Group(group)) = tokens.peek()
            && is_test_attribute(&group.stream())
        {
            tokens.next();
            skip_item(&mut tokens);
            continue;
        }
        kept.push(match token {
            TokenTree::Group(group) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), without_tests(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other => other,
        });
    }
    kept.into_iter().collect()
}

fn is_test_attribute(attribute: &TokenStream) -> bool {
    matches!(attribute.to_string().replace(' ', "").as_str(), "test" | "cfg(test)")
}

/// An item ends with its semicolon or its body, of which a `use` tree's braces are none.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    let mut in_use = false;
    for token in tokens {
        match &token {
            TokenTree::Ident(word) => in_use |= word == "use",
            TokenTree::Punct(mark) if mark.as_char() == ';' => return,
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && !in_use => return,
            _ => {}
        }
    }
}

/// Whether a token is this mark.
pub(crate) fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[test]
fn paths_become_modules() {
    let of = |path: &str| module_of(Path::new(path)).join("::");
    assert_eq!(["lib.rs", "a.rs", "a/mod.rs", "a/b.rs"].map(of), ["", "a", "a", "a::b"]);
}

#[test]
fn tests_do_not_count() {
    let text =
        "use crate::a; #[cfg(test)] use crate::{b}; fn f() {} #[cfg(test)] mod tests { use crate::c; } fn g() {}";
    let left = Source::new(Path::new("x.rs"), Vec::new(), text).tokens.to_string();
    assert_eq!(left.replace(' ', ""), "usecrate::a;fnf(){}fng(){}");
}

#[test]
fn files_of_tests_are_known_by_their_declaration() {
    let found = test_modules(&["a".into()], "mod x;\n#[cfg(test)]\nmod tests;\nmod y;\n");
    assert_eq!(found, [["a", "tests"]]);
    let found = test_modules(&["a".into(), "b".into()], "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n");
    assert_eq!(found, [["a", "b_tests"]]);
}
