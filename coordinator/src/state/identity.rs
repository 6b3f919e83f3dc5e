//! What the cluster knows of keys and certificates: no secret is in here, only public halves.

use std::collections::BTreeMap;

use protocol::identity::{CaFingerprint, CertificateFacts, SealingPublic};
use protocol::ids::{Digest, NodeId};
use serde::{Deserialize, Serialize};

use super::State;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdentityState {
    /// Snapshots and the CA at rest are sealed for its secret half.
    pub recovery: Option<SealingPublic>,
    /// While nodes change from one CA to the next.
    pub rotation: Option<CaRotation>,
    /// What each member said of the certificate that it uses now.
    pub certificates: BTreeMap<NodeId, CertificateFacts>,
}

/// `State::ca_pem` signs; what the one before it signed is still good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaRotation {
    pub previous_pem: String,
    /// The new CA as the previous one vouches for it.
    pub vouched_pem: String,
    pub started_at: Timestamp,
}

impl CaRotation {
    pub(crate) fn under_way(&self) -> Refusal {
        let message = format!("a change of the CA is under way since {}", self.started_at);
        let hint = "see `trireme cluster ca status`, then `trireme cluster ca finish`";
        Refusal::new(RefusalCode::Precondition, message, hint)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityChange {
    SetRecovery {
        public: SealingPublic,
    },
    RecordCertificate {
        node: NodeId,
        certificate: CertificateFacts,
    },
    RotateCa {
        ca_pem: String,
        vouched_pem: String,
    },
    /// Drops the previous CA; refused while a member uses a certificate of it, unless forced.
    FinishCaRotation {
        current: CaFingerprint,
        force: bool,
    },
    RevokeTokens {
        hashes: Vec<Digest>,
    },
}

impl IdentityChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetRecovery { .. } => "set-recovery",
            Self::RecordCertificate { .. } => "record-certificate",
            Self::RotateCa { .. } => "rotate-ca",
            Self::FinishCaRotation { .. } => "finish-ca-rotation",
            Self::RevokeTokens { .. } => "revoke-tokens",
        }
    }
}

impl State {
    /// The CAs that every node trusts, PEM; the one that signs first.
    pub fn trusted_ca_pem(&self) -> String {
        match &self.identity.rotation {
            Some(r) => format!("{}{}{}", self.ca_pem, r.previous_pem, r.vouched_pem),
            None => self.ca_pem.clone(),
        }
    }

    /// Members whose certificate is not of the CA that signs now.
    pub fn members_behind(&self, current: CaFingerprint) -> Vec<NodeId> {
        let behind = |node: &&NodeId| {
            let known = self.identity.certificates.get(*node);
            known.and_then(|certificate| certificate.ca) != Some(current)
        };
        self.members.keys().filter(behind).copied().collect()
    }

    pub(super) fn change_identity(&mut self, change: IdentityChange) -> Result<Outcome, Refusal> {
        match change {
            IdentityChange::SetRecovery { public } => {
                self.identity.recovery = Some(public);
                Ok(Outcome::Done)
            }
            IdentityChange::RecordCertificate { node, certificate } => {
                if !self.members.contains_key(&node) {
                    return Err(Refusal::no_node(&node.short()));
                }
                let members = &self.members;
                let certificates = &mut self.identity.certificates;
                certificates.retain(|node, _| members.contains_key(node));
                certificates.insert(node, certificate);
                Ok(Outcome::Done)
            }
            IdentityChange::RotateCa { ca_pem, vouched_pem } => self.rotate_ca(ca_pem, vouched_pem),
            IdentityChange::FinishCaRotation { current, force } => {
                self.finish_ca_rotation(current, force)
            }
            IdentityChange::RevokeTokens { hashes } => self.revoke_tokens(&hashes),
        }
    }

    fn rotate_ca(&mut self, ca_pem: String, vouched_pem: String) -> Result<Outcome, Refusal> {
        if let Some(rotation) = &self.identity.rotation {
            return Err(rotation.under_way());
        }
        let previous_pem = std::mem::replace(&mut self.ca_pem, ca_pem);
        let started_at = self.clock;
        self.identity.rotation = Some(CaRotation { previous_pem, vouched_pem, started_at });
        Ok(Outcome::Done)
    }

    fn finish_ca_rotation(
        &mut self,
        current: CaFingerprint,
        force: bool,
    ) -> Result<Outcome, Refusal> {
        if self.identity.rotation.is_none() {
            return Err(Refusal::stale("no change of the CA is under way"));
        }
        let behind = self.members_behind(current);
        if !behind.is_empty() && !force {
            let name = |node: &NodeId| self.members[node].name.clone();
            let names: Vec<_> = behind.iter().take(5).map(name).collect();
            let count = behind.len();
            let message = format!(
                "{count} members still use a certificate of the old CA: {}",
                names.join(", ")
            );
            let hint = "start them and wait, or --force: they then have to join anew";
            return Err(Refusal::new(RefusalCode::Precondition, message, hint));
        }
        self.identity.rotation = None;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotate(state: &mut State, ca: &str) -> Result<Outcome, Refusal> {
        let (ca_pem, vouched_pem) = (format!("{ca}\n"), format!("{ca} vouched for\n"));
        state.change_identity(IdentityChange::RotateCa { ca_pem, vouched_pem })
    }

    #[test]
    fn while_the_ca_changes_both_are_trusted_and_no_other_change_begins() {
        let mut state = State { ca_pem: "first\n".to_owned(), ..State::default() };
        rotate(&mut state, "second").expect("the first change");
        assert_eq!(state.trusted_ca_pem(), "second\nfirst\nsecond vouched for\n");
        let refused = rotate(&mut state, "third").expect_err("one at a time");
        assert!(refused.message.contains("under way"), "{refused:?}");
        let current = CaFingerprint([2; 32]);
        let finish = IdentityChange::FinishCaRotation { current, force: false };
        state.change_identity(finish.clone()).expect("no member is behind");
        assert_eq!(state.trusted_ca_pem(), "second\n");
        assert!(state.change_identity(finish).is_err(), "it is over");
    }
}
