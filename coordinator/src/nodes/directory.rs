//! The gateway's view of the cluster: state and live reports, joined into routes and texts.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::admin::DeploymentState;
use protocol::ids::{Digest, NodeId};
use tokio::sync::watch;

use super::data_plane::DataPlane;
use crate::gateway::directory::{Directory, FramePipe, KeyRecord, ServedModel, StreamLost};
use crate::gateway::model_text::ModelText;
use crate::gateway::router::{ReplicaForm, Route, Shortage, ShortageKind, Target};
use crate::raft::Consensus;
use crate::reconcile::LiveView;
use crate::state::{ApiKey, Deployment, Model, State};

pub struct ClusterDirectory {
    consensus: Arc<Consensus>,
    view: watch::Receiver<Arc<LiveView>>,
    data_plane: DataPlane,
    served: RwLock<Served>,
    changes: watch::Sender<u64>,
}

/// What follows from the state alone, made anew when it changes.
#[derive(Default)]
struct Served {
    models: Vec<Arc<ServedModel>>,
    keys: Arc<[Arc<KeyRecord>]>,
    texts: BTreeMap<Digest, Arc<dyn ModelText>>,
}

impl ClusterDirectory {
    pub(crate) fn new(
        consensus: Arc<Consensus>,
        view: watch::Receiver<Arc<LiveView>>,
        data_plane: DataPlane,
    ) -> Self {
        let (changes, _) = watch::channel(0);
        let served = RwLock::default();
        let directory = Self { consensus, view, data_plane, served, changes };
        directory.refresh();
        directory
    }

    /// Takes in the present state.
    pub(crate) fn refresh(&self) {
        let state = self.consensus.state();
        let keys = state.keys.iter().flat_map(|(name, key)| texts_of(name, key)).collect();
        let wanted: Vec<_> = deployed(&state).map(|(_, model, _)| model.text).collect();
        let mut served = self.served.write().unwrap_or_else(|e| e.into_inner());
        served.texts.retain(|digest, _| wanted.contains(digest));
        let models = deployed(&state)
            .map(|(name, model, deployment)| {
                let text = served.texts.get(&model.text).cloned();
                Arc::new(served_model(name, model, deployment, text))
            })
            .collect();
        served.models = models;
        served.keys = keys;
        drop(served);
        self.changed();
    }

    /// Texts of deployed models that are not here yet, with the nodes that hold them.
    pub(crate) fn missing_texts(&self) -> Vec<(Digest, Vec<NodeId>)> {
        let state = self.consensus.state();
        let served = self.served.read().unwrap_or_else(|e| e.into_inner());
        deployed(&state)
            .filter(|(_, model, _)| !served.texts.contains_key(&model.text))
            .map(|(_, model, _)| (model.text, model.holders.iter().copied().collect()))
            .collect()
    }

    pub(crate) fn add_text(&self, digest: Digest, text: Arc<dyn ModelText>) {
        let mut served = self.served.write().unwrap_or_else(|e| e.into_inner());
        served.texts.insert(digest, text);
        drop(served);
        self.refresh();
    }

    /// Wakes who waits for a route.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Directory for ClusterDirectory {
    fn models(&self) -> Vec<Arc<ServedModel>> {
        self.served.read().unwrap_or_else(|e| e.into_inner()).models.clone()
    }

    fn route(&self, model: &str) -> Route {
        route(&self.consensus.state(), &self.view.borrow(), model)
    }

    fn problems(&self) -> Vec<String> {
        self.consensus.problems()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn keys(&self) -> Arc<[Arc<KeyRecord>]> {
        Arc::clone(&self.served.read().unwrap_or_else(|e| e.into_inner()).keys)
    }

    fn open_generate(&self, target: &Target) -> BoxFuture<'static, Result<FramePipe, StreamLost>> {
        let data_plane = self.data_plane.clone();
        let (node, replica, epoch) = (target.node, target.replica, target.epoch);
        async move {
            let opened = data_plane.open_generate(node, replica, epoch).await;
            let (writer, reader) = opened.map_err(|error| StreamLost(error.to_string()))?;
            Ok(FramePipe::new(writer, reader))
        }
        .boxed()
    }
}

/// The text of a key, and the one from before its rotation.
fn texts_of(name: &str, key: &ApiKey) -> impl Iterator<Item = Arc<KeyRecord>> {
    let limits = key.limits.clone();
    let record = KeyRecord {
        expires_at: key.expires_at,
        limits,
        ..KeyRecord::new(name, key.role, key.hash)
    };
    let old = key.old.as_ref().map(|old| KeyRecord {
        hash: old.hash,
        expires_at: Some(key.expires_at.map_or(old.until, |at| at.min(old.until))),
        ..record.clone()
    });
    [Some(record), old].into_iter().flatten().map(Arc::new)
}

fn deployed(state: &State) -> impl Iterator<Item = (&String, &Model, &Deployment)> {
    state.deployments.iter().filter_map(|(name, deployment)| {
        let model = state.models.get(name).filter(|m| m.manifest == deployment.manifest)?;
        Some((name, model, deployment))
    })
}

fn served_model(
    name: &str,
    model: &Model,
    deployment: &Deployment,
    text: Option<Arc<dyn ModelText>>,
) -> ServedModel {
    let planned = deployment.placement.as_ref().map(|p| p.plan.kv().context_length);
    let wanted = deployment.options.context_length;
    ServedModel {
        name: name.to_owned(),
        manifest: model.manifest,
        text,
        vocab_size: model.spec.vocab_size,
        context_length: planned.or(wanted).unwrap_or(model.spec.context_length),
        context_length_trained: model.spec.context_length,
        weight_bytes: model.weight_bytes,
        created: model.imported_at.0 / 1000,
    }
}

fn route(state: &State, live: &LiveView, model: &str) -> Route {
    let Some(deployment) = state.deployments.get(model) else {
        let reason = format!("{model} is not deployed any more");
        let shortage = Some(Shortage { kind: ShortageKind::Gone, reason });
        return Route { targets: Vec::new(), shortage };
    };
    let rollout = &deployment.rollout;
    let kind = match rollout.state {
        DeploymentState::Ready => None,
        DeploymentState::Starting => Some(ShortageKind::Loading),
        DeploymentState::Degraded | DeploymentState::Failed => Some(ShortageKind::NoCapacity),
    };
    if let Some(kind) = kind {
        let shortage = Some(Shortage { kind, reason: rollout.reason.clone() });
        return Route { targets: Vec::new(), shortage };
    }
    let targets = deployment.placement.iter().map(|placement| {
        let node = placement.plan.head().node;
        let loads = live.nodes.get(&node).map(|n| n.loads.as_slice()).unwrap_or_default();
        let same =
            loads.iter().find(|l| l.replica == deployment.replica && l.epoch == placement.epoch);
        Target {
            replica: deployment.replica,
            epoch: placement.epoch,
            node,
            form: ReplicaForm {
                manifest: deployment.manifest,
                kv_type: placement.plan.kv().kv_type,
                activation: placement.plan.activation(),
            },
            sharing: placement.plan.sharing(),
            waiting: same.map_or(0, |l| l.waiting),
            running: same.map_or(0, |l| l.running),
        }
    });
    Route { targets: targets.collect(), shortage: None }
}
