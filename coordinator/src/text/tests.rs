//! Tests of the text side against what other programs say about the same models.

mod chat_templates;
mod detokenizing;
mod vocabularies;

use std::path::PathBuf;

use super::Text;

/// A file or folder under `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The text side of a fixture.
fn open(name: &str) -> Text {
    let assets = checkpoint::open_text(&fixture(name)).expect("the text side opens");
    Text::new(&assets).expect("the text side loads")
}
