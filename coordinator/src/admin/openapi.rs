//! The OpenAPI document of the admin API, made from the handlers' own descriptions.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use protocol::admin::ErrorBody;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi};
use utoipa::{PartialSchema, ToSchema};

use super::Admin;

const PATH: &str = "/admin/v1/openapi.json";

/// The router's descriptions as a whole document.
pub(super) fn document(mut described: OpenApi) -> OpenApi {
    described.info = InfoBuilder::new()
        .title("Trireme admin API")
        .version("v1")
        .description(Some(
            "What the command line and the page ask of any coordinator. Bytes are integers, \
             times RFC 3339 UTC, durations float seconds; new fields are only added.",
        ))
        .build();
    // A router's catch-all is a plain parameter here.
    let paths = std::mem::take(&mut described.paths.paths);
    described.paths.paths =
        paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), named(item))).collect();
    let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = described.components.get_or_insert_with(Components::new);
    components.add_security_scheme("key", key);
    // The derive of the errors refers to it, and does not bring it.
    let mut errors = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut errors);
    components.schemas.extend(errors);
    described.security = Some(vec![SecurityRequirement::new("key", [""; 0])]);
    described
}

/// Handlers of several topics share names, operations must not: `nodes-list`.
fn named(mut item: PathItem) -> PathItem {
    let name = |operation: &mut Operation| {
        let topic = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
        let handler = operation.operation_id.take().unwrap_or_default();
        operation.operation_id = Some(format!("{topic}-{handler}").replace('_', "-"));
    };
    let PathItem { get, put, post, delete, patch, .. } = &mut item;
    [get, put, post, delete, patch].into_iter().flatten().for_each(name);
    item
}

pub(super) fn route(document: &OpenApi) -> Router<Arc<Admin>> {
    // Strings, numbers and maps with text keys: nothing that JSON could refuse.
    let json: Arc<str> = document.to_json().unwrap_or_default().into();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], json.to_string()) };
    Router::new().route(PATH, get(answer))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// What is only done, and says nothing more.
    const WITHOUT_BODY: [&str; 5] = ["/cordon", "/uncordon", "/cancel", "/snapshot", "/check"];

    fn served() -> Value {
        let (_, described) = crate::admin::routes().split_for_parts();
        serde_json::from_str(&document(described).to_json().expect("JSON")).expect("JSON")
    }

    fn each_operation(document: &Value, mut check: impl FnMut(&str, &Value)) {
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("an item") {
                check(&format!("{method} {path}"), operation);
            }
        }
    }

    #[test]
    fn every_route_has_a_summary_bodies_and_errors() {
        let document = served();
        assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
        let mut ids = BTreeSet::new();
        each_operation(&document, |route, operation| {
            let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
            assert!(text("summary").ends_with('.'), "{route} has no summary");
            assert!(ids.insert(text("operationId")), "{route}: the id is taken");
            assert!(!operation["responses"]["200"]["content"].is_null(), "{route}: no body");
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let sends = route.starts_with("post") || route.starts_with("patch");
            let has_body = sends && !WITHOUT_BODY.iter().any(|verb| route.ends_with(verb));
            assert_eq!(body.is_null(), !has_body, "{route}: {operation}");
            for status in ["400", "401", "403", "404", "409", "500", "503"] {
                let answer = &operation["responses"][status]["content"]["application/json"];
                assert_eq!(answer["schema"]["$ref"], "#/components/schemas/ErrorBody", "{route}");
            }
            let named = route.matches('{').count();
            let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
            assert!(parameters >= named && !route.contains('*'), "{route}: {operation}");
        });
        assert!(ids.len() >= 13, "{ids:?}");
    }

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_one_and_leads_nowhere_else() {
        let mut schema = served();
        let document = schema.clone();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
        let names: Vec<String> =
            schema["components"]["schemas"].as_object().expect("schemas").keys().cloned().collect();
        for name in names {
            schema["$ref"] = format!("#/components/schemas/{name}").into();
            jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
