//! Which replica gets a sequence: PURE choice among the ready ones.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::model_spec::KvType;
use protocol::plan::{ActivationType, Sharing};

/// What is known of a model's replicas at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// Replicas whose every rank is ready.
    pub targets: Vec<Target>,
    /// Why there is no target, or fewer than wanted; told to clients.
    pub shortage: Option<Shortage>,
}

/// A ready replica: where its head is, and in which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub replica: ReplicaId,
    pub epoch: Epoch,
    /// The node of the head.
    pub node: NodeId,
    pub form: ReplicaForm,
    /// A resumed sequence may go on in another one: its words may then differ, and the answer says
    /// so.
    pub sharing: Sharing,
    /// Sequences that wait and run there, as last heard.
    pub waiting: u32,
    pub running: u32,
}

/// What decides the bits of an answer; a resumed sequence stays on replicas of one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaForm {
    pub manifest: Digest,
    pub kv_type: KvType,
    pub activation: ActivationType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub kind: ShortageKind,
    /// What is missing, with the numbers, e.g. `degraded: needs 9.1 GiB more`.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortageKind {
    /// A plan is committed; weights travel or load.
    Loading,
    /// No plan fits what is there now.
    NoCapacity,
    /// The model is not deployed any more: waiting is pointless.
    Gone,
}

impl Target {
    pub fn key(&self) -> TargetKey {
        (self.replica, self.epoch)
    }
}

pub type TargetKey = (ReplicaId, Epoch);

/// Replicas that refused a while ago, each with the time from which it may be asked again.
pub(super) type Resting = BTreeMap<TargetKey, Duration>;

/// The least loaded ready replica that suits; ties go to the lower replica id.
pub(super) fn choose<'a>(
    route: &'a Route,
    form: Option<ReplicaForm>,
    resting: &Resting,
    now: Duration,
) -> Option<&'a Target> {
    suitable(route, form)
        .filter(|t| resting.get(&t.key()).is_none_or(|&until| until <= now))
        .min_by_key(|t| (t.waiting, t.running, t.replica))
}

/// When the next suitable replica has rested.
pub(super) fn rested_at(
    route: &Route,
    form: Option<ReplicaForm>,
    resting: &Resting,
) -> Option<Duration> {
    suitable(route, form).filter_map(|t| resting.get(&t.key()).copied()).min()
}

fn suitable(route: &Route, form: Option<ReplicaForm>) -> impl Iterator<Item = &Target> {
    route.targets.iter().filter(move |t| form.is_none_or(|f| f == t.form))
}
