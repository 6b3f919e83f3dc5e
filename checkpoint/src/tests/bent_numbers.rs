//! Every number of every family's configuration replaced, every family's header bent: an error that
//! names the file or a model that is whole, never a panic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::open;

/// The fixtures of all families, folders or files.
fn fixtures(folders: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(super::fixture("golden")).expect("the fixtures");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let wanted = |path: &PathBuf| match folders {
        true => path.join("config.json").is_file(),
        false => path.extension().is_some_and(|extension| extension == "gguf"),
    };
    let mut found: Vec<_> = paths.filter(wanted).collect();
    found.sort();
    found
}

/// Pointers to all numbers of `value`.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| numbers(v, &format!("{at}/{i}"), found));
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, v)| numbers(v, &format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

/// The folder with its configuration replaced by `config`.
fn with_config(folder: &Path, config: &Value) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_name() != "config.json" {
            symlink(entry.path(), copy.path().join(entry.file_name())).expect("linked");
        }
    }
    fs::write(copy.path().join("config.json"), config.to_string()).expect("written");
    copy
}

#[test]
fn no_number_of_a_configuration_makes_a_reader_panic() {
    for folder in fixtures(true) {
        let text = fs::read_to_string(folder.join("config.json")).expect("a configuration");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        let mut pointers = Vec::new();
        numbers(&config, "", &mut pointers);
        assert!(pointers.len() > 5, "{}", folder.display());
        for pointer in pointers {
            let others = [
                json!(0),
                json!(-1),
                json!(7),
                json!(u32::MAX),
                json!(1e300),
                json!("x"),
                json!([]),
            ];
            for other in others {
                let mut bent = config.clone();
                *bent.pointer_mut(&pointer).expect("it is there") = other;
                let copy = with_config(&folder, &bent);
                if let Err(error) = open(copy.path()) {
                    let name = copy.path().to_string_lossy();
                    assert!(error.to_string().contains(&*name), "{pointer}: {error}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bent_byte_in_any_familys_header_makes_a_reader_panic(
        file in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((0..12_000_usize, any::<u8>()), 1..6),
    ) {
        let files = fixtures(false);
        let mut bytes = fs::read(file.get(&files)).expect("the fixture");
        for (place, value) in changes {
            bytes[place] = value;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("bent.gguf");
        fs::write(&path, &bytes).expect("written");
        let _ = open(&path);
    }
}
