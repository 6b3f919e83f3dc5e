//! JSON schemas of what commands print with `-o json`, made from the types that they print.
//!
//! A command stands here once: in `of` with what it prints, or in `NO_DATA` with why it prints no
//! JSON. A test holds the table against the grammar.

use std::ffi::OsString;
use std::process::ExitCode;

use coordinator::SnapshotHeader;
use protocol::admin::*;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Output;
use crate::args::named;
use crate::commands::audit::AuditCheck;
use crate::commands::context::ContextView;
use crate::commands::doctor::DoctorReport;
use crate::commands::effect::Effect;
use crate::commands::inspect::Inspection;
use crate::commands::version::{NodeVersion, Version};
use crate::config::OptionView;
use crate::error::CliError;

/// Commands that print no JSON, and what they print.
const NO_DATA: [(&str, &str); 18] = [
    ("up", "the answer of a model, and notes"),
    ("coordinator", "a service: its log"),
    ("worker", "a service: its log"),
    ("cluster init", "the admin key, shown once"),
    ("cluster join-token rm", "notes"),
    ("cluster config edit", "the settings, after an editor that needs a terminal"),
    ("cluster members rm", "notes"),
    ("cluster snapshot save", "a file"),
    ("cluster snapshot restore", "notes"),
    ("node join", "notes"),
    ("keys revoke", "notes"),
    ("chat", "the answer of a model"),
    ("generate", "the answer of a model"),
    ("context use", "notes"),
    ("context add", "notes"),
    ("context rm", "notes"),
    ("config defaults", "a file"),
    ("completion", "a script"),
];

/// What a command prints with `-o json`.
fn of(command: &str) -> Option<Value> {
    Some(match command {
        "cluster status" => one::<ClusterStatus>("Cluster"),
        "cluster join-token" | "cluster members add" => one::<JoinTokenCreated>("JoinToken"),
        "cluster join-token ls" => list::<JoinTokenView>("JoinTokenList"),
        "cluster ca rotate" | "cluster ca status" | "cluster ca finish" => one::<CaStatus>("Ca"),
        "cluster config get" | "cluster config set" => list::<SettingView>("SettingList"),
        "cluster destroy" => {
            any_of([one::<ClusterDestroyed>("ClusterDestroyed"), one::<Effect>("Effect")])
        }
        "cluster members ls" => list::<CoordinatorView>("CoordinatorList"),
        "cluster members promote" => one::<CoordinatorView>("Coordinator"),
        "cluster snapshot inspect" => one::<SnapshotHeader>("Snapshot"),
        "cluster events" | "model events" => one::<EventView>("Event"),
        "node ls" => list::<NodeView>("NodeList"),
        "node describe" | "node cordon" | "node uncordon" | "node undrain" | "node label" => {
            one::<NodeView>("Node")
        }
        "node logs" => one::<NodeLog>("NodeLog"),
        "node drain" => any_of([operation(), one::<DrainEffect>("DrainEffect")]),
        "node rm" => any_of([operation(), one::<Effect>("Effect")]),
        "model ls" => list::<ModelView>("ModelList"),
        "model describe" => one::<ModelView>("Model"),
        "model inspect" => one::<Inspection>("Model"),
        "model import" => operation(),
        "model deploy" => any_of([operation(), one::<PlanView>("Plan")]),
        "model undeploy" => any_of([operation(), one::<Effect>("Effect")]),
        "plan" => one::<PlanView>("Plan"),
        "keys ls" => list::<KeyView>("KeyList"),
        "keys create" | "keys rotate" => one::<KeyCreated>("Key"),
        "keys describe" | "keys update" => one::<KeyView>("Key"),
        "audit ls" => list::<AuditRecord>("AuditList"),
        "audit export" | "audit tail" => whole::<AuditRecord>(reference::<AuditRecord>()),
        "audit verify" => one::<AuditCheck>("AuditCheck"),
        "op ls" => list::<OperationView>("OperationList"),
        "op describe" | "op wait" | "op cancel" => operation(),
        "doctor" | "node exec-check" => one::<DoctorReport>("DoctorReport"),
        "context ls" => list::<ContextView>("ContextList"),
        "config show" => list::<OptionView>("OptionList"),
        "version" => any_of([one::<Version>("Version"), list::<NodeVersion>("NodeVersionList")]),
        _ => return None,
    })
}

fn operation() -> Value {
    one::<OperationView>("Operation")
}

/// The command whose schema the words ask for; read apart from the rest, as what the command itself
/// needs is not there then.
pub(crate) fn asked(words: &[OsString]) -> Option<String> {
    let mut own = words.iter().take_while(|word| *word != "--");
    own.any(|word| word == "--json-schema").then(|| named(words))
}

pub(crate) fn print(command: &str, output: &Output) -> ExitCode {
    if let Some(schema) = of(command) {
        output.text(&format!("{schema:#}"));
        return ExitCode::SUCCESS;
    }
    let why = NO_DATA.iter().find(|(name, _)| *name == command).map(|(_, what)| *what);
    let why = why.map_or("name a whole command, as in `trireme node ls --json-schema`", |w| w);
    output.fail(&CliError::usage(format!("`trireme {command}` has no JSON schema"), why))
}

/// A list under its kind.
fn list<T: ToSchema>(kind: &str) -> Value {
    let items = json!({ "type": "array", "items": reference::<T>() });
    let fields = json!({
        "apiVersion": { "const": API_VERSION }, "kind": { "const": kind }, "items": items,
    });
    let body = json!({
        "type": "object", "properties": fields, "required": ["apiVersion", "kind", "items"],
    });
    whole::<T>(body)
}

/// A value under its kind.
fn one<T: ToSchema>(kind: &str) -> Value {
    let fields = json!({ "apiVersion": { "const": API_VERSION }, "kind": { "const": kind } });
    let head = json!({
        "type": "object", "properties": fields, "required": ["apiVersion", "kind"],
    });
    whole::<T>(json!({ "allOf": [head, reference::<T>()] }))
}

fn reference<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/$defs/{}", T::name()) })
}

/// With all that the body refers to.
fn whole<T: ToSchema>(mut body: Value) -> Value {
    let mut known = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut known);
    let definitions: serde_json::Map<String, Value> =
        known.iter().map(|(name, schema)| (name.clone(), json!(schema))).collect();
    body["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    body["$defs"] = Value::Object(definitions);
    // They refer to each other as the parts of an OpenAPI document do.
    let text = body.to_string().replace("#/components/schemas/", "#/$defs/");
    text.parse().unwrap_or(body)
}

fn any_of<const N: usize>(schemas: [Value; N]) -> Value {
    let mut definitions = serde_json::Map::new();
    let mut bodies = Vec::new();
    for mut schema in schemas {
        if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|s| s.remove("$defs")) {
            definitions.extend(own);
        }
        bodies.push(schema);
    }
    json!({ "anyOf": bodies, "$defs": definitions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{command, leaves};

    #[test]
    fn every_command_has_a_schema_or_a_reason_for_none() {
        for (name, _) in leaves(&command()) {
            let none = NO_DATA.iter().any(|(without, _)| *without == name);
            assert!(
                of(&name).is_some() != none,
                "say in output/schema.rs what `trireme {name}` prints with -o json"
            );
            if let Some(schema) = of(&name) {
                jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
    }

    #[test]
    fn a_schema_is_asked_for_without_what_the_command_needs() {
        let asked = |line: &str| asked(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked("trireme node describe --json-schema").as_deref(), Some("node describe"));
        assert_eq!(asked("trireme -o json --json-schema node list").as_deref(), Some("node ls"));
        assert_eq!(asked("trireme node ls"), None);
        assert_eq!(asked("trireme config show worker -- --json-schema"), None);
    }
}
