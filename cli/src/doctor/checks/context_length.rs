//! Contexts that are too short for what is asked of models today.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// Coding agents send prompts of this size before the first question.
const AGENTS_NEED: u32 = 32_768;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let models = facts.cluster.iter().flat_map(|cluster| &cluster.models);
    let short = models.filter_map(|model| {
        let promised = model.deployed.as_ref()?.context;
        if promised >= AGENTS_NEED || promised >= model.context_own {
            return None;
        }
        let told = format!(
            "deployed for {promised} tokens, the model has {}: agents need {AGENTS_NEED}",
            model.context_own
        );
        let wanted = AGENTS_NEED.min(model.context_own);
        let fix = format!("trireme model deploy {} --context-length {wanted}", model.name);
        Some(Finding::warn("model.context", &model.name, told, fix))
    });
    short.collect()
}
