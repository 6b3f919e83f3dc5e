//! The admin API against the document that it serves of itself.

use serde_json::{Value, json};
use tests::process::{Cluster, ClusterOptions};

/// Parameters of paths, and what they are in this cluster.
const PARAMETERS: [(&str, &str); 4] =
    [("node", "n1"), ("model", "demo"), ("id", "OPERATION"), ("key", "bot")];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_what_the_document_says() {
    let options = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let cluster = Cluster::with_demo(&options, 2).await;
    let api = cluster.api(0);
    let again = json!({ "name": "twin", "path": demo(), "node": "n1" });
    let operation = api.post("/admin/v1/models", again).await.expect("starts");
    let operation = operation["id"].as_str().expect("an id").to_owned();
    let bot = json!({ "name": "bot", "role": "user" });
    api.post("/admin/v1/keys", bot).await.expect("a key");
    let document = api.get("/admin/v1/openapi.json").await.expect("a document");
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let answer = &item["get"]["responses"]["200"]["content"]["application/json"];
        if answer.is_null() {
            continue;
        }
        let found = api.get(&filled(path, &operation)).await;
        let found = found.unwrap_or_else(|failure| panic!("{path}: {failure:?}"));
        conforms(&document, &answer["schema"], &found, path);
        checked += 1;
    }
    assert!(checked >= 7, "only {checked} routes were asked");
    for (path, body) in [
        ("/admin/v1/plan", json!({ "model": "demo" })),
        ("/admin/v1/join-tokens", json!({ "role": "worker", "ttlSeconds": 60, "uses": 1 })),
        ("/admin/v1/keys", json!({ "name": "ci", "role": "user" })),
    ] {
        let found = api.post(path, body.clone()).await.unwrap_or_else(|f| panic!("{path}: {f:?}"));
        let operation = &document["paths"][path]["post"];
        let content = &operation["responses"]["200"]["content"]["application/json"];
        conforms(&document, &content["schema"], &found, path);
        let taken = &operation["requestBody"]["content"]["application/json"]["schema"];
        conforms(&document, taken, &body, path);
    }
    let failure = api.get("/admin/v1/nodes/nobody").await.expect_err("no such node");
    let failed = json!({ "$ref": "#/components/schemas/ErrorBody" });
    conforms(&document, &failed, &failure.body, "a failure");
}

fn demo() -> String {
    tests::process::repository_file("models/demo/demo.gguf").display().to_string()
}

fn filled(path: &str, operation: &str) -> String {
    let path = PARAMETERS
        .iter()
        .fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
    assert!(!path.contains('{'), "{path}: say in PARAMETERS what it is in this cluster");
    path.replace("OPERATION", operation)
}

fn conforms(document: &Value, schema: &Value, found: &Value, what: &str) {
    let mut whole = document.clone();
    whole["allOf"] = json!([schema]);
    let validator = jsonschema::validator_for(&whole).expect("a schema");
    let wrong: Vec<_> = validator.iter_errors(found).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}\n{found:#}");
}
