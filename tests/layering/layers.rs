//! The two rules of modules: a module uses only earlier layers, and siblings of one folder form no cycle.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    paths::{Use, exports, uses},
    sources::Source,
};

/// The layers of one crate, lowest first. Modules of one layer do not use each other, unless they form a known knot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layers {
    /// Folder of the crate; empty for the repository's root package.
    pub(crate) folder: &'static str,
    /// Top-level modules by layer.
    pub(crate) layers: &'static [&'static [&'static str]],
    /// Top-level modules that know each other, in order of their names, and why.
    pub(crate) knots: &'static [(&'static [&'static str], &'static str)],
}

impl Layers {
    fn of(&self, module: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.contains(&module))
    }

    fn knotted(&self, a: &str, b: &str) -> bool {
        self.knots.iter().any(|(modules, _)| modules.contains(&a) && modules.contains(&b))
    }
}

/// What breaks the order of the crate's top-level modules.
pub(crate) fn out_of_order(table: &Layers, sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let modules: BTreeSet<_> = sources.iter().filter_map(|source| source.module.first().cloned()).collect();
    let listed: BTreeSet<_> = table.layers.iter().copied().flatten().map(|module| (*module).to_owned()).collect();
    wrong.extend(modules.difference(&listed).map(|module| format!("{}: module {module} has no layer", table.folder)));
    wrong.extend(listed.difference(&modules).map(|module| format!("{}: no module {module}", table.folder)));
    for (source, used) in resolved(sources) {
        let (Some(from), Some(to)) = (source.module.first(), used.path.first()) else { continue };
        if let (Some(low), Some(high)) = (table.of(from), table.of(to))
            && from != to
            && high >= low
            && !table.knotted(from, to)
        {
            wrong.push(format!("{}: {from} uses {}, which is not below it", used.place, used.path.join("::")));
        }
    }
    wrong
}

/// Modules of one folder that reach each other, for every folder of the crate, as `folder: a b c`.
///
/// A folder's own `mod.rs` is its vocabulary: what stands there may be used by its modules, and may use them.
/// Known knots are left out, and named where they are none.
pub(crate) fn cycles(table: &Layers, sources: &[Source]) -> Vec<String> {
    let mut found = all_cycles(sources);
    let mut idle = Vec::new();
    for (modules, why) in table.knots {
        let known = format!("crate::: {}", modules.join(" "));
        match found.iter().position(|cycle| *cycle == known) {
            Some(place) => drop(found.remove(place)),
            None => idle.push(format!("{known}: no such cycle ({why})")),
        }
    }
    found.append(&mut idle);
    found.iter().map(|cycle| format!("{}: {cycle}", table.folder)).collect()
}

fn all_cycles(sources: &[Source]) -> Vec<String> {
    let known: BTreeSet<_> = sources.iter().map(|source| source.module.clone()).collect();
    let mut folders: BTreeMap<Vec<String>, Edges> = BTreeMap::new();
    for (source, used) in resolved(sources) {
        let shared = source.module.iter().zip(&used.path).take_while(|(a, b)| a == b).count();
        let (Some(from), Some(to)) = (source.module.get(shared), used.path.get(shared)) else { continue };
        if known.contains(&used.path[..=shared]) {
            let folder = folders.entry(source.module[..shared].to_vec()).or_default();
            folder.entry(from.clone()).or_default().insert(to.clone());
        }
    }
    let knots = folders.iter().flat_map(|(folder, edges)| knots(edges).into_iter().map(move |knot| (folder, knot)));
    knots.map(|(folder, knot)| format!("crate::{}: {}", folder.join("::"), knot.join(" "))).collect()
}

/// Uses with names the root re-exports led back to the module they come from. The root itself may use everything.
fn resolved(sources: &[Source]) -> Vec<(&Source, Use)> {
    let exported = sources.iter().find(|source| source.module.is_empty()).map(exports).unwrap_or_default();
    let modules: BTreeSet<_> = sources.iter().filter_map(|source| source.module.first()).collect();
    let inner = sources.iter().filter(|source| !source.module.is_empty());
    inner
        .flat_map(|source| uses(source).into_iter().map(move |used| (source, used)))
        .map(|(source, mut used)| {
            if let Some(first) = used.path.first()
                && !modules.contains(first)
                && let Some(origin) = exported.get(first)
            {
                used.path = origin.clone();
            }
            (source, used)
        })
        .collect()
}

/// Groups of nodes that reach each other.
fn knots(edges: &Edges) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<_, _> = edges.keys().map(|node| (node, reach(node, edges))).collect();
    let mutual = |a: &String, b: &String| reached.get(a).is_some_and(|from| from.contains(b));
    let knot = |node| reached[node].iter().filter(|other| mutual(other, node)).cloned().collect::<Vec<_>>();
    edges.keys().map(knot).filter(|knot| !knot.is_empty()).collect()
}

fn reach(start: &str, edges: &Edges) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = edges.get(start).into_iter().flatten().collect();
    while let Some(node) = next.pop() {
        if reached.insert(node.clone()) {
            next.extend(edges.get(node).into_iter().flatten());
        }
    }
    reached
}

type Edges = BTreeMap<String, BTreeSet<String>>;

#[cfg(test)]
const SMALL: Layers = Layers { folder: "small", layers: &[&["low", "flat"], &["high"]], knots: &[] };

#[cfg(test)]
fn small(files: &[(&str, &str)]) -> Vec<Source> {
    let module = |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    files.iter().map(|(path, text)| Source::new(std::path::Path::new(path), module(path), text)).collect()
}

#[test]
fn using_what_is_below_is_allowed() {
    let sources = small(&[("low", ""), ("flat", ""), ("high", "use crate::{low::A, flat};")]);
    assert_eq!(out_of_order(&SMALL, &sources), [""; 0]);
}

#[test]
fn using_what_is_above_or_beside_is_not() {
    let sources = small(&[("low", "use crate::high::A;"), ("flat", "fn f() { crate::low::g() }"), ("high", "")]);
    let wrong = out_of_order(&SMALL, &sources);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].starts_with("low:1: low uses high::A"), "{wrong:?}");
}

#[test]
fn a_detour_over_the_root_is_seen() {
    let sources = small(&[("", "pub use crate::high::A;"), ("low", "use crate::A;"), ("flat", ""), ("high", "")]);
    assert_eq!(out_of_order(&SMALL, &sources), ["low:1: low uses high::A, which is not below it"]);
}

#[test]
fn a_module_without_a_layer_and_a_layer_without_a_module_are_named() {
    let wrong = out_of_order(&SMALL, &small(&[("low", ""), ("flat", ""), ("new", "")]));
    assert_eq!(wrong, ["small: module new has no layer", "small: no module high"]);
}

#[test]
fn cycles_inside_a_folder_are_found_and_a_folders_vocabulary_is_no_cycle() {
    let tree = [("a", "mod x; use x::X;"), ("a::x", "use super::A;"), ("a::y", "use super::x::X;")];
    assert_eq!(cycles(&SMALL, &small(&tree)), [""; 0]);
    let round = [tree[0], ("a::x", "use crate::a::y::Y;"), tree[2]];
    assert_eq!(cycles(&SMALL, &small(&round)), ["small: crate::a: x y"]);
}

#[test]
fn a_known_knot_is_allowed_as_long_as_it_is_one() {
    let table = Layers { knots: &[(&["flat", "low"], "old")], ..SMALL };
    let knot = small(&[("low", "use crate::flat::A;"), ("flat", "use crate::low::B;"), ("high", "")]);
    assert_eq!((cycles(&table, &knot), out_of_order(&table, &knot)), (vec![], vec![]));
    assert_eq!(out_of_order(&SMALL, &knot).len(), 2);
    let cut = small(&[("low", ""), ("flat", ""), ("high", "")]);
    assert_eq!(cycles(&table, &cut), ["small: crate::: flat low: no such cycle (old)"]);
}
