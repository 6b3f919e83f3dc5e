//! What all chunks of one answer have in common.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::gateway::directory::ServedModel;

pub(super) struct Identity {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Identity {
    /// A new id with the endpoint's prefix.
    pub(super) fn new(prefix: &str, model: &ServedModel) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self {
            id: format!("{prefix}-{}", ulid::Ulid::new()),
            created,
            model: model.name.clone(),
            // Same weights and same seed give the same answer.
            fingerprint: format!("fp_{}", model.manifest.short()),
        }
    }

    /// The fields that open every object of the answer.
    pub(super) fn object(&self, object: &str) -> Map<String, Value> {
        let fields = json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        });
        match fields {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// JSON has no infinities; a token that cannot come is as good as this.
pub(super) fn finite(logprob: f32) -> f32 {
    const LEAST: f32 = -9999.0;
    if logprob.is_finite() { logprob.max(LEAST) } else { LEAST }
}
