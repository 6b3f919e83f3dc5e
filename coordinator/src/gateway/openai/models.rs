//! `GET /v1/models` and `/v1/models/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::gateway::GatewayState;
use crate::gateway::directory::ServedModel;
use crate::gateway::error::ApiError;

pub(crate) async fn list(State(state): State<GatewayState>) -> Json<Value> {
    let models = state.directory.models();
    let data: Vec<Value> = models.iter().map(|m| object(m)).collect();
    Json(json!({"object": "list", "data": data}))
}

/// Ids may hold slashes.
pub(crate) async fn retrieve(
    State(state): State<GatewayState>,
    Path(id): Path<String>,
) -> Response {
    match state.directory.model(&id) {
        Some(model) => Json(object(&model)).into_response(),
        None => {
            let names: Vec<String> =
                state.directory.models().iter().map(|m| m.name.clone()).collect();
            ApiError::model_not_found(&id, &close_matches(&id, &names)).into_response()
        }
    }
}

/// Holds the context length under every name that clients look for.
fn object(model: &ServedModel) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "trireme",
        "max_model_len": model.context_length,
        "context_length": model.context_length,
        "capabilities": ["completion", "chat"],
        "meta": {
            "n_ctx_train": model.context_length_trained,
            "n_vocab": model.vocab_size,
            "size": model.weight_bytes,
        },
    })
}

/// At most three names that a person may have meant.
pub(crate) fn close_matches(asked: &str, names: &[String]) -> Vec<String> {
    let asked: String = asked.chars().take(128).collect::<String>().to_lowercase();
    let mut close: Vec<(usize, &String)> = names
        .iter()
        .map(|name| (distance(&asked, &name.to_lowercase()), name))
        .filter(|(far, name)| {
            let inside = asked.len() >= 3 && name.to_lowercase().contains(&asked);
            inside || *far <= name.chars().count().div_ceil(3)
        })
        .collect();
    close.sort();
    close.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_finds_its_neighbours_and_a_foreign_one_finds_none() {
        let names = ["demo".to_owned(), "qwen2.5-7b".to_owned(), "llama-3.3-70b".to_owned()];
        assert_eq!(close_matches("Demo1", &names), ["demo"]);
        assert_eq!(close_matches("qwen", &names), ["qwen2.5-7b"]);
        assert_eq!(close_matches("gpt-5.4", &names), Vec::<String>::new());
    }
}
