//! Which of two values wins, and what is said of a wrong one.

use std::path::Path;

use super::in_force::Origin;
use super::*;
use crate::args::{Command as Parsed, Worker};

fn words(line: &[&str]) -> Vec<OsString> {
    ["trireme"].iter().chain(line).map(OsString::from).collect()
}

fn refusal(result: Result<Cli, Unread>) -> CliError {
    match result {
        Err(Unread::Bad(error)) => error,
        Err(Unread::Shown(shown)) => panic!("shown: {shown}"),
        Ok(cli) => panic!("taken: {cli:?}"),
    }
}

/// A worker's options with this file; `None` for no file at all.
fn worker(file: Option<&str>, flags: &[&str]) -> Result<Worker, CliError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("worker.toml").display().to_string();
    let mut line = vec!["worker"];
    if let Some(text) = file {
        std::fs::write(&path, text).expect("written");
        line.extend(["--config", &path]);
    }
    line.extend(flags);
    match parse(&words(&line)) {
        Ok(Cli { command: Parsed::Worker(worker), .. }) => Ok(worker),
        other => Err(refusal(other)),
    }
}

#[test]
fn a_flag_goes_before_a_file_and_a_file_before_the_default() {
    let threads = |file, flags: &[&str]| worker(file, flags).expect("taken").threads;
    assert_eq!(threads(None, &[]), None);
    assert_eq!(threads(Some("threads = 3"), &[]), Some(3));
    assert_eq!(threads(Some("threads = 3"), &["--threads", "5"]), Some(5));
    let rows_alone = |file, flags: &[&str]| worker(file, flags).expect("taken").deterministic;
    assert!(!rows_alone(None, &[]));
    assert!(rows_alone(None, &["--deterministic"]));
    assert!(rows_alone(Some("deterministic = true"), &[]));
    assert!(!rows_alone(Some("deterministic = true"), &["--deterministic=false"]));
}

#[test]
fn a_list_in_a_file_is_one_value_with_commas() {
    let listed = worker(Some("devices = [\"cuda:0=20GiB\", \"cpu\"]"), &[]).expect("taken");
    let flag = worker(None, &["--devices", "cuda:0=20GiB,cpu"]).expect("taken");
    assert_eq!(listed.devices, flag.devices);
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_one() {
    let error = worker(Some("memory_limits = \"2GiB\""), &[]).expect_err("unknown").to_string();
    assert!(error.contains("`memory_limits`") && error.contains("`memory_limit`"), "{error}");
    let error = worker(Some("colour = \"red\""), &[]).expect_err("unknown").to_string();
    assert!(error.contains("known are: ") && error.contains("packed_cache"), "{error}");
    let error = worker(Some("stop_with_stdin = true"), &[]).expect_err("hidden").to_string();
    assert!(error.contains("unknown key"), "{error}");
}

#[test]
fn a_bad_value_names_key_value_range_and_origin() {
    let cases: [(&str, &[&str]); 6] = [
        ("threads = 0", &["threads", "`0`", "1..=1024", "worker.toml"]),
        ("threads = \"many\"", &["threads", "`many`", "worker.toml"]),
        ("memory_limit = \"big\"", &["memory_limit", "`big`", "560MB", "worker.toml"]),
        ("listen = \"nowhere\"", &["listen", "`nowhere`", "HOST:PORT", "worker.toml"]),
        ("devices = \"tpu\"", &["devices", "`tpu`", "worker.toml"]),
        ("deterministic = \"perhaps\"", &["deterministic", "`perhaps`", "worker.toml"]),
    ];
    for (file, parts) in cases {
        let error = worker(Some(file), &[]).expect_err(file).to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{file}: {error}");
    }
    let error = worker(None, &["--threads", "0"]).expect_err("none").to_string();
    assert!(error.contains("--threads") && error.contains("1..=1024"), "{error}");
}

#[test]
fn a_refusal_has_three_lines() {
    for line in [&["node", "describe"][..], &["nodes"], &["worker", "--thread", "1"], &["node"]] {
        let Err(Unread::Bad(error)) = parse(&words(line)) else { continue };
        let shown = error.to_string();
        assert_eq!(shown.lines().count(), 3, "{line:?}: {shown}");
        assert!(shown.contains("next: see: trireme"), "{line:?}: {shown}");
    }
}

#[test]
fn the_committed_files_are_what_the_options_say() {
    for service in SERVICES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
        let path = path.join(format!("{service}.toml"));
        let expected = documented(&subcommand(&command(), service));
        let committed = std::fs::read_to_string(&path).expect("a committed file");
        let file = format!("deploy/config/{service}.toml");
        assert!(committed == expected, "run: trireme config defaults {service} > {file}");
    }
}

/// Uncommented, so that those without a default count too.
#[test]
fn the_defaults_hold_every_key_once_and_nothing_else() {
    for service in SERVICES {
        let described = subcommand(&command(), service);
        let keys: Vec<_> = options(&described).map(|o| o.get_id().to_string()).collect();
        let text = documented(&described);
        let all: String = text.lines().fold(String::new(), |all, line| {
            let key =
                line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty());
            all + key.unwrap_or(line) + "\n"
        });
        let table: toml::Table = all.parse().expect("TOML");
        assert_eq!(table.len(), keys.len(), "{service}: {table:?}");
        assert!(keys.iter().all(|key| table.contains_key(key)), "{service}: {keys:?}");
        // And as committed, with what has a default only, it changes nothing.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("defaults.toml").display().to_string();
        std::fs::write(&path, text).expect("written");
        let plain = parse(&words(&[service])).ok().map(|cli| format!("{:?}", cli.command));
        let with = parse(&words(&[service, "--config", &path])).ok();
        let with = with.map(|cli| format!("{:?}", cli.command).replace(&path, ""));
        let plain = plain.map(|text| text.replace("config: None", "config: Some(\"\")"));
        assert_eq!(with, plain, "{service}");
    }
}

#[test]
fn every_option_says_where_its_value_is_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("worker.toml").display().to_string();
    std::fs::write(&path, "threads = 3\nname = \"b2\"\n").expect("written");
    let flags = ["--config", &path, "--name", "c3"].map(str::to_owned);
    let found = InForce::of_service("worker", &flags).expect("in force");
    let of = |name: &str| {
        let option = found.items.iter().find(|option| option.name == name).expect("an option");
        (option.value.as_deref(), option.origin, option.source.as_str())
    };
    assert_eq!(of("name"), (Some("c3"), Origin::Flag, "--name"));
    assert_eq!(of("threads"), (Some("3"), Origin::File, path.as_str()));
    assert_eq!(of("devices"), (Some("auto"), Origin::Default, ""));
    assert_eq!(of("advertise"), (None, Origin::Default, ""));
}
