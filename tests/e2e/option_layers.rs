//! A service's options in all their layers, as `config show --origin` tells them.

use std::process::{Command, Stdio};

use serde_json::Value;
use tests::process::binary;

/// Where a value is set.
#[derive(Clone, Copy, PartialEq)]
enum Layer {
    File,
    Env,
    Flag,
}

/// An option as a flag, with a value for each layer, and its default as it is shown.
struct Known {
    service: &'static str,
    key: &'static str,
    values: [&'static str; 3],
    default: Option<&'static str>,
}

/// One of each kind: number, size, truth value, list, address, text.
const OPTIONS: [Known; 7] = [
    Known { service: "worker", key: "threads", values: ["1", "2", "3"], default: None },
    Known {
        service: "worker",
        key: "memory_limit",
        values: ["1GiB", "2GiB", "3GiB"],
        default: None,
    },
    Known {
        service: "worker",
        key: "deterministic",
        values: ["true", "false", "true"],
        default: Some("false"),
    },
    Known {
        service: "worker",
        key: "devices",
        values: ["cpu", "all", "cuda:0=20GiB,cpu"],
        default: Some("auto"),
    },
    Known {
        service: "worker",
        key: "listen",
        values: ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
        default: Some("0.0.0.0:7443"),
    },
    Known { service: "worker", key: "name", values: ["a1", "b2", "c3"], default: None },
    Known {
        service: "coordinator",
        key: "insecure_http",
        values: ["true", "false", "true"],
        default: Some("false"),
    },
];

#[test]
fn flags_go_before_variables_before_the_file_before_defaults() {
    for known in &OPTIONS {
        for set in 0..8 {
            let layers = [Layer::File, Layer::Env, Layer::Flag];
            let layers: Vec<_> =
                (0..3).filter(|bit| set >> bit & 1 == 1).map(|b| layers[b]).collect();
            let shown = show(known, &layers);
            let (value, origin) = match layers.last() {
                Some(Layer::Flag) => (Some(known.values[2]), "flag"),
                Some(Layer::Env) => (Some(known.values[1]), "env"),
                Some(Layer::File) => (Some(known.values[0]), "file"),
                None => (known.default, "default"),
            };
            assert_eq!(shown["value"].as_str(), value, "{}: {shown}", known.key);
            assert_eq!(shown["origin"], origin, "{}: {shown}", known.key);
        }
    }
}

fn show(known: &Known, layers: &[Layer]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("service.toml").display().to_string();
    let mut command = Command::new(binary());
    command.args(["config", "show", known.service, "--origin", "-o", "json", "--"]);
    if layers.contains(&Layer::File) {
        std::fs::write(&path, format!("{} = \"{}\"\n", known.key, known.values[0])).expect("file");
        command.args(["--config", &path]);
    }
    if layers.contains(&Layer::Env) {
        command.env(format!("TRIREME_{}", known.key.to_uppercase()), known.values[1]);
    }
    if layers.contains(&Layer::Flag) {
        command.arg(format!("--{}={}", known.key.replace('_', "-"), known.values[2]));
    }
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let items = list["items"].as_array().expect("items");
    items.iter().find(|item| item["name"] == known.key).expect("the option").clone()
}

#[test]
fn a_bad_variable_is_named_with_its_value_and_what_would_be_right() {
    for (variable, value, right) in [
        ("TRIREME_THREADS", "0", "1..=1024"),
        ("TRIREME_MEMORY_LIMIT", "big", "560MB"),
        ("TRIREME_LISTEN", "nowhere", "HOST:PORT"),
    ] {
        let mut command = Command::new(binary());
        let output = command.arg("worker").env(variable, value).stdin(Stdio::null()).output();
        let output = output.expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        let named = error.contains(&format!("{variable} is `{value}`"));
        assert!(named && error.contains(right), "{error}");
    }
}
