//! The models that were imported: digests and shapes; the bytes lie on their holders.

use std::collections::BTreeSet;

use protocol::control::ImportSummary;
use protocol::ids::{Digest, NodeId};
use protocol::model_spec::ModelSpec;
use serde::{Deserialize, Serialize};

use super::State;
use super::members::check_name;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub manifest: Digest,
    pub spec: ModelSpec,
    /// Blob with tokenizer, special tokens and chat template.
    pub text: Digest,
    pub weight_bytes: u64,
    pub imported_at: Timestamp,
    /// Nodes that hold all of it.
    pub holders: BTreeSet<NodeId>,
}

const MODELS_MAX: usize = 1000;

impl State {
    pub(super) fn add_model(
        &mut self,
        name: String,
        manifest: Digest,
        summary: ImportSummary,
        holder: NodeId,
    ) -> Result<Outcome, Refusal> {
        check_name("model name", &name)?;
        if let Some(known) = self.models.get_mut(&name).filter(|m| m.manifest == manifest) {
            known.holders.insert(holder);
            return Ok(Outcome::Done);
        }
        if self.deployments.contains_key(&name) {
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("another version of `{name}` is deployed"),
                format!("choose another name, or first: trireme model undeploy {name}"),
            ));
        }
        if self.models.len() >= MODELS_MAX {
            let message = format!("there are {MODELS_MAX} models already");
            return Err(Refusal::new(RefusalCode::Precondition, message, ""));
        }
        let ImportSummary { spec, text, weight_bytes } = summary;
        let holders = BTreeSet::from([holder]);
        let imported_at = self.clock;
        self.models
            .insert(name, Model { manifest, spec, text, weight_bytes, imported_at, holders });
        Ok(Outcome::Done)
    }
}
