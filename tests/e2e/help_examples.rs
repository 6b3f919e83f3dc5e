//! Every line that a command's help offers to copy is run, from a pipe, against a live cluster.
//!
//! A new command is covered as soon as it is there. Where its examples need something first, say it
//! in `BEFORE`; where they name what a test cannot have, in `SUBSTITUTED`; where they cannot be run
//! at all, in `SKIPPED` with the reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::process::{Cluster, ClusterOptions, Leaf, binary, leaves, repository_file};

/// Beginnings of examples, and why these are not run here.
const SKIPPED: &[(&str, &str)] = &[
    ("trireme up", "it stays up; up.rs runs it with --once"),
    ("trireme coordinator", "it stays up; the cluster of this test runs one"),
    ("trireme cluster ca finish", "refused here, where nodes join that are never started"),
    ("trireme cluster config edit", "an editor needs a terminal; settings.rs sees it refused"),
    ("EDITOR=nano trireme cluster config edit", "an editor needs a terminal"),
    ("trireme cluster destroy --yes", "the cluster of this test is needed; settings.rs does it"),
    ("trireme worker", "it stays up; the cluster of this test runs four"),
    (
        "trireme cluster members rm c3 --yes",
        "the only coordinator stays; group_of_five.rs has more",
    ),
    ("trireme cluster snapshot restore", "it needs the recovery key; snapshots.rs restores one"),
    ("trireme op cancel 01JDB3... --yes", "nothing runs here; drains.rs cancels a drain"),
    ("trireme doctor", "what it finds depends on the machine; doctor.rs runs it"),
];

/// Examples that go on until they are stopped: here after two seconds.
const FOLLOWING: &[&str] = &[
    "trireme cluster events",
    "trireme model events demo --follow",
    "trireme audit tail",
    "trireme audit tail -o jsonl",
];

/// What has to be there before an example, by its beginning; in order, all that match are run.
const BEFORE: &[(&str, &str)] = &[
    ("trireme context", "trireme context add lab --api http://127.0.0.1:9"),
    ("trireme context use", "trireme context add local --api http://127.0.0.1:9"),
    ("trireme model deploy", "trireme model undeploy demo --yes || true"),
    ("trireme model deploy", "trireme model undeploy llama --yes || true"),
    ("trireme cluster ca rotate", "trireme cluster ca finish --force || true"),
    ("trireme model undeploy", "trireme model deploy demo || true"),
    ("trireme audit verify", "trireme audit export > audit.jsonl"),
    ("trireme cluster snapshot inspect", "trireme cluster snapshot save lab.trireme"),
];

/// What stands in an example, and what stands for it here. `TOKEN` is a fresh join token.
const SUBSTITUTED: &[(&str, &str)] = &[
    ("trj1....@10.0.0.11:7443", "TOKEN"),
    ("--name b2", "--name b9"),
    ("/models/", "./"),
    ("/etc/bash_completion.d/", "./"),
    // The demo model has a context of 2,048 tokens.
    ("--context-length 8192", "--context-length 1024"),
    ("10.0.0.11", "127.0.0.1"),
    ("1f3a5b7c", "$(trireme cluster join-token ls -o name | head -n 1)"),
    ("01JDB3...", "$(trireme op ls -o name | head -n 1)"),
    ("promote c4", "promote c1"),
    ("promote 7f3c91d2", "promote $(trireme cluster members ls -o name | head -n 1)"),
    ("/backup/", "./"),
    // Here are several workers that may have the file.
    ("llama-3.3-70b-q4_k_m.gguf", "llama-3.3-70b-q4_k_m.gguf --node b2"),
];

/// Nothing here waits for a person; a model's answer takes seconds in a debug build.
const PATIENCE: Duration = Duration::from_secs(90);

struct Shell<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
    token: String,
}

impl Shell<'_> {
    fn run(&self, line: &str) -> Output {
        let path = binary().parent().expect("a folder").display().to_string();
        let begun = Instant::now();
        let mut shell = Command::new("timeout");
        shell
            .args([&PATIENCE.as_secs().to_string(), "sh", "-c", line])
            .current_dir(&self.folder)
            .env("PATH", format!("{path}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", &self.folder)
            .env("XDG_CONFIG_HOME", self.folder.join("config"))
            .env("TRIREME_API", self.cluster.api(0).base())
            .env("TRIREME_DATA_DIR", self.folder.join("data"))
            .stdin(Stdio::null());
        let output = shell.output().expect("a shell");
        assert!(begun.elapsed() < PATIENCE, "{line}: it waits for somebody");
        output
    }

    /// The line as it can be run here.
    fn here(&self, example: &str) -> String {
        let mut line = example.to_owned();
        for (named, here) in SUBSTITUTED.iter().copied() {
            line = line.replace(named, here);
        }
        line.replace("TOKEN", &self.token)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_does_what_it_says() {
    let options = ClusterOptions { workers: 3, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    cluster.add_worker_called("b2", None).await;
    cluster.nodes_ready(4).await;
    let demo = repository_file("models/demo/demo.gguf");
    cluster.import(&demo, "llama").await;
    cluster.import(&demo, "demo").await;
    cluster.deploy("demo", serde_json::json!({ "stages": 2 })).await;
    // What takes something away comes last, a node last of all.
    let mut leaves = leaves();
    let late = ["model deploy", "model undeploy", "node drain", "node rm", "cluster ca rotate"];
    leaves.sort_by_key(|leaf| late.iter().position(|name| *name == leaf.name).map_or(0, |p| p + 1));
    let mut run = 0;
    for leaf in &leaves {
        let examples = leaf.examples();
        assert!(examples.len() >= 2, "{}: {}", leaf.name, leaf.help);
        let known = tokio::task::block_in_place(|| schema(leaf));
        for (index, example) in examples.iter().enumerate() {
            if SKIPPED.iter().any(|(skipped, _)| example.starts_with(skipped)) {
                continue;
            }
            let token = cluster.join_token("worker", 600, 1).await;
            let folder = cluster.folder().join(format!("{}-{index}", leaf.name.replace(' ', "-")));
            furnish(&folder, &demo);
            let shell = Shell { cluster: &cluster, folder, token };
            tokio::task::block_in_place(|| try_out(&shell, leaf, example, index, known.as_ref()));
            run += 1;
        }
    }
    assert!(run >= 40, "only {run} examples were run");
}

/// The files that examples name.
fn furnish(folder: &Path, demo: &Path) {
    std::fs::create_dir_all(folder.join(".zfunc")).expect("a folder");
    let link = |from: &Path, name: &str| {
        std::os::unix::fs::symlink(from, folder.join(name)).expect("a link");
    };
    let whole = repository_file("fixtures/golden/llama-tied");
    for name in ["qwen", "Qwen2.5-7B-Instruct"] {
        link(&whole, name);
    }
    let files = ["llama.gguf", "llama-3.3-70b-q4_k_m.gguf", "llama-3.2-3b-q4_k_m.gguf"];
    files.iter().for_each(|name| link(demo, name));
    for service in ["coordinator", "worker"] {
        let name = format!("{service}.toml");
        // No link: an example writes one of them.
        let from = repository_file(&format!("deploy/config/{name}"));
        std::fs::copy(from, folder.join(name)).expect("a copy");
    }
    std::fs::write(folder.join("lab.key"), "trk-lab-key\n").expect("written");
    std::fs::write(folder.join("ca.crt"), "-----BEGIN CERTIFICATE-----\n").expect("written");
}

/// The first example is run as it is, others as JSON where the command has a schema for it.
fn try_out(shell: &Shell<'_>, leaf: &Leaf, example: &str, index: usize, schema: Option<&Value>) {
    for (_, before) in BEFORE.iter().filter(|(beginning, _)| example.starts_with(beginning)) {
        let output = shell.run(before);
        assert!(output.status.success(), "before {example}: {before}\n{}", both(&output));
    }
    let mut line = shell.here(example);
    if FOLLOWING.contains(&example) {
        let output = shell.run(&format!("timeout 2 {line}"));
        assert_eq!(output.status.code(), Some(124), "{line} ends\n{}", both(&output));
        return assert!(!output.stdout.is_empty(), "{line} shows nothing\n{}", both(&output));
    }
    let as_json = schema.is_some() && index > 0 && !line.contains(" -o ") && !line.contains('>');
    if as_json {
        line = match line.split_once(" -- ") {
            Some((own, flags)) => format!("{own} -o json -- {flags}"),
            None => format!("{line} -o json"),
        };
    }
    let output = shell.run(&line);
    let confirmed = line.contains("--yes") || line.contains(" -y") || line.contains("--dry-run");
    let expected = if leaf.asks_first() && !confirmed { 2 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{line}\n{}", both(&output));
    assert!(!both(&output).contains('\u{1b}'), "{line}: no colours in a pipe\n{}", both(&output));
    if expected == 2 {
        assert!(both(&output).contains(" --yes"), "{line}: how to run it\n{}", both(&output));
    } else if line.contains("-o jsonl") {
        for text in String::from_utf8_lossy(&output.stdout).lines() {
            serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{line}: {e}: {text}"));
        }
    } else if let Some(schema) = schema.filter(|_| line.contains("-o json")) {
        let printed: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{line}: {e}\n{}", both(&output)));
        let validator = jsonschema::validator_for(schema).expect("a schema");
        let wrong: Vec<_> = validator.iter_errors(&printed).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{line}: {wrong:?}\n{printed:#}");
    }
}

/// What the command says that it prints with `-o json`; none where it prints no JSON.
fn schema(leaf: &Leaf) -> Option<Value> {
    let mut command = Command::new(binary());
    let output = command.args(leaf.name.split(' ')).arg("--json-schema").output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| serde_json::from_str(&text).expect("JSON"))
}

fn both(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
    format!("{out}{error}")
}
