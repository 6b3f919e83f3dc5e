//! Follows the log in everything that certificates depend on: the CA, who was removed, the recovery
//! key; and renews this coordinator's own certificates in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::control::{Role, ShareCa, Trust};
use protocol::identity::{
    CaFingerprint, CertificateFacts, ClusterCa, Identity, IdentityStore, SealingPublic,
};
use protocol::ids::NodeId;
use protocol::transport::NodeTls;

use super::api_tls::ApiTls;
use super::authority::Authority;
use super::service;
use crate::error::CoordinatorError;
use crate::nodes::WorkerRegistry;
use crate::raft::{Consensus, ConsensusStatus};
use crate::state::{Change, IdentityChange, State};

const RETRY: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(3600);
const LOOK_MIN: Duration = Duration::from_millis(200);
/// A removed node hears why before its connections are cut.
const FAREWELL: Duration = Duration::from_millis(100);

pub(crate) struct Keeper {
    pub(crate) authority: Arc<Authority>,
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) registry: Arc<WorkerRegistry>,
    pub(crate) tls: NodeTls,
    pub(crate) store: IdentityStore,
    pub(crate) identity: Identity,
    /// Where the API is served over TLS.
    pub(crate) api: Option<ApiTls>,
    pub(crate) seen: Seen,
    /// Log index up to which it was followed before this start.
    pub(crate) followed: u64,
}

/// What was followed last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    revoked: BTreeSet<NodeId>,
    trusted_pem: String,
    previous_pem: Option<String>,
    recovery: Option<SealingPublic>,
}

impl Seen {
    fn of(state: &State, group: &ConsensusStatus) -> Self {
        // A coordinator that was removed hands over first: it is refused once the group is without
        // it.
        let in_group =
            |node: &&NodeId| group.voters.contains(node) || group.learners.contains(node);
        Self {
            revoked: state.removed.iter().filter(|node| !in_group(node)).copied().collect(),
            trusted_pem: state.trusted_ca_pem(),
            previous_pem: state.identity.rotation.as_ref().map(|r| r.previous_pem.clone()),
            recovery: state.identity.recovery,
        }
    }
}

impl Keeper {
    /// Runs until the log is gone.
    pub(crate) async fn run(mut self) {
        let mut states = self.consensus.watch_state();
        loop {
            let state = Arc::clone(&states.borrow_and_update());
            let pause = match self.follow(&state).await {
                Ok(()) => self.until_renewal(),
                Err(error) => {
                    tracing::warn!(%error, "certificates are not as the log wants them");
                    RETRY
                }
            };
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn follow(&mut self, state: &State) -> Result<(), CoordinatorError> {
        // One that restarts reads old entries again: what it knew at its end stays.
        if state.cluster.is_empty() || state.applied < self.followed {
            return Ok(());
        }
        let wanted = Seen::of(state, &self.consensus.status());
        if wanted != self.seen {
            self.follow_changes(state, &wanted).await?;
            self.seen = wanted;
        }
        let ca = self.authority.fingerprint();
        if is_due(&self.identity.certificate()?, ca) {
            self.renew()?;
        }
        if let Some(api) = self.api.as_mut().filter(|api| is_due(api.facts(), ca)) {
            api.renew(&self.authority, &self.identity.ca_pem)?;
        }
        let (node, certificate) = (self.consensus.own(), self.identity.certificate()?);
        let known = state.identity.certificates.get(&node);
        if state.members.contains_key(&node) && known != Some(&certificate) {
            let change = IdentityChange::RecordCertificate { node, certificate };
            self.consensus.propose(Change::Identity(change)).await?;
        }
        Ok(())
    }

    async fn follow_changes(
        &mut self,
        state: &State,
        wanted: &Seen,
    ) -> Result<(), CoordinatorError> {
        self.follow_ca(state).await?;
        if self.identity.ca_pem != wanted.trusted_pem {
            let same = self.identity.certificate_pem.clone();
            self.take(self.identity.renewed(&same, &wanted.trusted_pem)?)?;
        }
        if let (Some(old), None) = (&self.seen.previous_pem, &wanted.previous_pem) {
            self.authority.forget(CaFingerprint::of_pem(old)?)?;
        }
        if let Some(recovery) = wanted.recovery.filter(|r| Some(*r) != self.seen.recovery) {
            self.authority.reseal(recovery)?;
        }
        for node in wanted.revoked.difference(&self.seen.revoked) {
            self.registry.cut(*node);
        }
        if wanted.revoked != self.seen.revoked {
            tokio::time::sleep(FAREWELL).await;
            self.tls.revoke(wanted.revoked.clone());
        }
        let trust = trust(state);
        self.store.save_trust(&trust)?;
        self.registry.send_trust(&trust);
        Ok(())
    }

    /// Signs with the CA that the log names; its key comes from another coordinator where this one
    /// missed it.
    async fn follow_ca(&self, state: &State) -> Result<(), CoordinatorError> {
        let ca = CaFingerprint::of_pem(&state.ca_pem)?;
        if self.authority.fingerprint() == ca {
            return Ok(());
        }
        if let Some(held) = self.authority.held(ca)? {
            self.authority.switch(held);
            return Ok(());
        }
        for other in state.coordinators().iter().filter(|c| c.node != self.consensus.own()) {
            let asked = service::ask(&self.tls, other, &ShareCa { ca, given: None }).await;
            let Ok(Some(shared)) = asked.map(|answer| answer.held) else { continue };
            let taken = ClusterCa::from_pem(&shared.certificate_pem, &shared.key_pem)?;
            if taken.fingerprint() == ca {
                self.authority.keep(&taken)?;
                self.authority.switch(taken);
                return Ok(());
            }
        }
        Err(CoordinatorError::CaNotHeld { ca: ca.short() })
    }

    fn renew(&mut self) -> Result<(), CoordinatorError> {
        let csr = self.identity.key()?.signing_request()?;
        let signed = self.authority.sign(&csr, Role::Coordinator)?;
        let renewed = self.identity.renewed(&signed.certificate_pem, &self.identity.ca_pem)?;
        self.take(renewed)?;
        tracing::info!(ca = self.authority.fingerprint().short(), "own certificate renewed");
        Ok(())
    }

    fn take(&mut self, identity: Identity) -> Result<(), CoordinatorError> {
        self.store.save(&identity)?;
        self.tls.replace(&identity)?;
        self.identity = identity;
        Ok(())
    }

    fn until_renewal(&self) -> Duration {
        let own = self.identity.certificate().map_or(0, |facts| facts.renewal_due_at());
        let due = self.api.as_ref().map_or(own, |api| own.min(api.facts().renewal_due_at()));
        Duration::from_secs(due.saturating_sub(now())).clamp(LOOK_MIN, LOOK_MAX)
    }
}

/// What workers are told.
pub(crate) fn trust(state: &State) -> Trust {
    let (ca_pem, revoked) = (state.trusted_ca_pem(), state.removed.clone());
    Trust { ca_pem, revoked, applied: state.applied }
}

fn is_due(facts: &CertificateFacts, ca: CaFingerprint) -> bool {
    facts.ca != Some(ca) || now() >= facts.renewal_due_at()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
