//! The CAs that this coordinator can sign with, and the one that it signs with now.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::control::{Role, SharedCa};
use protocol::identity::ca::SignedNode;
use protocol::identity::{
    CaFingerprint, ClusterCa, IdentityError, IdentityStore, NodeKey, SealingPublic,
};
use tokio::sync::watch;

use crate::state::{Setting, State};

pub(crate) struct Authority {
    store: IdentityStore,
    /// Of the certificates that it signs; the cluster's setting when absent.
    validity: Option<Duration>,
    states: watch::Receiver<Arc<State>>,
    signing: RwLock<Arc<ClusterCa>>,
}

impl Authority {
    pub(crate) fn new(
        store: IdentityStore,
        ca: ClusterCa,
        validity: Option<Duration>,
        states: watch::Receiver<Arc<State>>,
    ) -> Self {
        Self { store, validity, states, signing: RwLock::new(Arc::new(ca)) }
    }

    fn validity(&self) -> Duration {
        let set = || self.states.borrow().settings.value(Setting::CertificateValidity);
        self.validity.unwrap_or_else(set)
    }

    pub(crate) fn signing(&self) -> Arc<ClusterCa> {
        Arc::clone(&self.signing.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn fingerprint(&self) -> CaFingerprint {
        self.signing().fingerprint()
    }

    pub(crate) fn sign(&self, csr_pem: &str, role: Role) -> Result<SignedNode, IdentityError> {
        self.signing().sign_node_for(csr_pem, role, self.validity())
    }

    /// For the API, with what vouches for it.
    pub(crate) fn sign_api(
        &self,
        key: &NodeKey,
        names: &[String],
        trusted_pem: &str,
    ) -> Result<String, IdentityError> {
        Ok(self.signing().sign_api(key, names, self.validity())? + trusted_pem)
    }

    /// Signs with `ca` from now on.
    pub(crate) fn switch(&self, ca: ClusterCa) {
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ca);
    }

    /// A CA whose key lies here.
    pub(crate) fn held(&self, ca: CaFingerprint) -> Result<Option<ClusterCa>, IdentityError> {
        self.store.load_ca_of(ca)
    }

    pub(crate) fn keep(&self, ca: &ClusterCa) -> Result<(), IdentityError> {
        self.store.save_ca(ca)
    }

    pub(crate) fn forget(&self, ca: CaFingerprint) -> Result<(), IdentityError> {
        self.store.forget_ca(ca)
    }

    /// Seals what lies here for another recovery key.
    pub(crate) fn reseal(&self, recovery: SealingPublic) -> Result<(), IdentityError> {
        self.store.save_recovery(recovery)?;
        self.store.save_ca(&self.signing())
    }
}

pub(crate) fn shared(ca: &ClusterCa) -> SharedCa {
    let certificate_pem = ca.certificate_pem().to_owned();
    SharedCa { certificate_pem, key_pem: ca.key_pem().to_string() }
}
