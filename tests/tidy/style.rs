//! Length, width, names and first lines.

use syn::visit::Visit;

use crate::sources;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const WIDTH_MAX: usize = 100;
const BANNED_NAMES: [&str; 9] =
    ["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "default"];
const LEFTOVERS: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X:"), concat!("db", "g!(")];

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn files_are_short() {
    let lines = |s: &sources::Source| s.product_text().lines().count();
    let broken: Vec<_> = sources::all()
        .iter()
        .filter(|s| !s.is_test() && lines(s) > FILE_LINES_MAX)
        .map(|s| format!("{}: {} lines", s.name(), lines(s)))
        .collect();
    report("a file without its tests has at most 400 lines", &broken);
}

#[test]
fn lines_fit_a_hundred_columns() {
    let mut broken = Vec::new();
    for source in sources::all() {
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > WIDTH_MAX {
                broken.push(format!("{}:{}", source.name(), number + 1));
            }
        }
    }
    report("lines have at most 100 columns", &broken);
}

#[test]
fn files_open_with_a_sentence() {
    let broken: Vec<_> = sources::all()
        .iter()
        .filter(|s| !s.text.starts_with("//! "))
        .map(sources::Source::name)
        .collect();
    report("the first line of a file is a `//!` sentence", &broken);
}

#[test]
fn names_say_something() {
    let banned = |s: &sources::Source| {
        s.path.iter().any(|part| {
            let part = part.to_string_lossy();
            BANNED_NAMES.contains(&part.trim_end_matches(".rs"))
        })
    };
    let broken: Vec<_> =
        sources::all().iter().filter(|s| banned(s)).map(sources::Source::name).collect();
    report("files carry the field's nouns", &broken);
}

#[test]
fn nothing_is_left_over() {
    let mut broken = Vec::new();
    for source in sources::all() {
        for word in LEFTOVERS {
            if source.text.contains(word) {
                broken.push(format!("{}: {word}", source.name()));
            }
        }
    }
    report("no leftovers", &broken);
}

#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for source in sources::all().iter().filter(|s| !s.is_test()) {
        let file = syn::parse_file(source.product_text()).expect("sources parse");
        let mut lengths = Lengths::default();
        lengths.visit_file(&file);
        let long = lengths.0.into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        broken.extend(long.map(|(name, lines)| format!("{} {name}: {lines}", source.name())));
    }
    report("a function has at most 70 lines", &broken);
}

#[derive(Default)]
struct Lengths(Vec<(String, usize)>);

impl Lengths {
    fn add(&mut self, name: &syn::Ident, block: &syn::Block) {
        let (open, close) = (block.brace_token.span.open(), block.brace_token.span.close());
        self.0.push((name.to_string(), close.end().line + 1 - open.start().line));
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}
