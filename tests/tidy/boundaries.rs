//! Crate edges, what pure folders may name, and where `unsafe` may stand.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::sources;

/// Edges of the workspace; what is not here is forbidden. `tests` and `benches` may use everything.
const EDGES: [(&str, &[&str]); 7] = [
    ("protocol", &[]),
    ("checkpoint", &["protocol"]),
    ("partitioner", &["protocol"]),
    ("engine", &["protocol", "checkpoint"]),
    ("worker", &["protocol", "checkpoint", "engine"]),
    ("coordinator", &["protocol", "checkpoint", "partitioner"]),
    ("cli", &["protocol", "checkpoint", "partitioner", "engine", "worker", "coordinator"]),
];

const PURE: [&str; 8] = [
    "partitioner/src/",
    "worker/src/scheduler/",
    "worker/src/shard",
    "coordinator/src/state/",
    "coordinator/src/reconcile/",
    "coordinator/src/gateway/request",
    "coordinator/src/gateway/router",
    "tests/src/sim/",
];

const IMPURE_WORDS: [&str; 8] = [
    "tokio::",
    "std::fs",
    "std::net",
    "Instant::now",
    "SystemTime",
    "thread::",
    "rand::",
    "HashMap",
];

const UNSAFE_FOLDERS: [&str; 2] = ["engine/src/kernels/", "engine/src/weights/"];

#[test]
fn crates_depend_only_downwards() {
    let metadata = MetadataCommand::new()
        .manifest_path(sources::root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata");
    let allowed: BTreeMap<_, _> = EDGES.into_iter().collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else { continue };
        for dependency in &package.dependencies {
            let ours = sources::CRATES.contains(&dependency.name.as_str());
            let product = dependency.kind == DependencyKind::Normal;
            if ours && product && !allowed.contains(&dependency.name.as_str()) {
                broken.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert!(broken.is_empty(), "forbidden edges: {broken:?}");
}

#[test]
fn pure_folders_do_no_io_and_read_no_clock() {
    let mut broken = Vec::new();
    for source in sources::all() {
        if !PURE.iter().any(|folder| source.name().starts_with(folder)) {
            continue;
        }
        for word in IMPURE_WORDS {
            if source.product_text().contains(word) {
                broken.push(format!("{}: {word}", source.name()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let keyword = concat!("un", "safe ");
    let mut broken = Vec::new();
    for source in sources::all() {
        let used = source.text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains(keyword)
        });
        if used && !UNSAFE_FOLDERS.iter().any(|folder| source.name().starts_with(folder)) {
            broken.push(source.name());
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_crate_but_the_engine_forbids_unsafe() {
    for name in sources::CRATES {
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| sources::root().join(name).join(file));
        for root in roots.iter().filter(|r| r.exists()) {
            let text = std::fs::read_to_string(root).expect("readable");
            let forbids = text.contains("#![forbid(unsafe_code)]");
            assert!(forbids || name == "engine", "{}", root.display());
        }
    }
}

/// A route that goes around its description is not in the document that the API serves of itself.
#[test]
fn admin_routes_describe_themselves() {
    let sources = sources::all();
    let admin = sources.iter().filter(|s| s.name().starts_with("coordinator/src/admin"));
    let plain = admin.filter(|s| s.product_text().contains(".route("));
    let broken: Vec<_> = plain.map(|source| source.name()).collect();
    assert_eq!(broken, ["coordinator/src/admin/openapi.rs"], "use `routes!` and `utoipa::path`");
}
