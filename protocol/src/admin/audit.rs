//! The audit chain: who changed what and when, each record bound to the one before it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::Digest;

/// One change. Its hash is over all other fields, so that none can be altered, and over the hash
/// of the record before, so that none can be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub sequence: u64,
    /// Of the log entry that made the change.
    pub index: u64,
    pub at: String,
    /// `key NAME`, `local` (at a coordinator's machine, without a key), `node ID`, `system`.
    pub actor: String,
    pub role: String,
    /// Kind of the change, e.g. `create-key`.
    pub action: String,
    /// What it was about; never a secret, never a prompt.
    pub subject: String,
    pub previous: Digest,
    pub hash: Digest,
}

/// A part of the chain, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditList {
    pub api_version: String,
    pub kind: String,
    /// Records that the cluster no longer keeps; what it keeps begins after them.
    pub cut: u64,
    /// Hash of the last record that was cut; zeros when none was.
    pub anchor: Digest,
    /// Hash of the newest record; `anchor` when there is none.
    pub head: Digest,
    pub items: Vec<AuditRecord>,
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditBroken {
    #[error("record {sequence} was altered: its fields give the hash {computed}, it says {found}")]
    Altered { sequence: u64, computed: String, found: String },
    #[error("record {sequence} does not follow the one before it: it names {found}, not {wanted}")]
    Unbound { sequence: u64, found: String, wanted: String },
    #[error("record {found} stands where record {wanted} should")]
    Missing { found: u64, wanted: u64 },
}

impl AuditRecord {
    /// The hash before the first record.
    pub const GENESIS: Digest = Digest([0; 32]);

    /// With its hash.
    pub fn sealed(self) -> Self {
        Self { hash: self.computed(), ..self }
    }

    fn computed(&self) -> Digest {
        let mut bytes = Vec::new();
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.index.to_le_bytes());
        for text in [&self.at, &self.actor, &self.role, &self.action, &self.subject] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.previous.0);
        Digest::of(&bytes)
    }
}

/// Recomputes the chain of `records`; `anchor` is what stands before the first, where it is known.
pub fn verify_audit(records: &[AuditRecord], anchor: Option<Digest>) -> Result<(), AuditBroken> {
    let Some(first) = records.first() else { return Ok(()) };
    let known = if first.sequence == 1 { Some(AuditRecord::GENESIS) } else { anchor };
    let (mut previous, mut sequence) = (known.unwrap_or(first.previous), first.sequence);
    for record in records {
        if record.sequence != sequence {
            return Err(AuditBroken::Missing { found: record.sequence, wanted: sequence });
        }
        if record.previous != previous {
            let (found, wanted) = (record.previous.short(), previous.short());
            return Err(AuditBroken::Unbound { sequence, found, wanted });
        }
        let computed = record.computed();
        if computed != record.hash {
            let (computed, found) = (computed.short(), record.hash.short());
            return Err(AuditBroken::Altered { sequence, computed, found });
        }
        (previous, sequence) = (record.hash, sequence + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64) -> Vec<AuditRecord> {
        let mut records: Vec<AuditRecord> = Vec::new();
        for sequence in 1..=count {
            let previous = records.last().map_or(AuditRecord::GENESIS, |r| r.hash);
            let record = AuditRecord {
                sequence,
                index: 10 * sequence,
                at: "2026-11-22T09:00:00.000Z".into(),
                actor: "key ops".into(),
                role: "admin".into(),
                action: "deploy".into(),
                subject: format!("m{sequence}"),
                previous,
                hash: AuditRecord::GENESIS,
            };
            records.push(record.sealed());
        }
        records
    }

    #[test]
    fn an_untouched_chain_verifies_whole_and_in_part() {
        let records = chain(5);
        assert_eq!(verify_audit(&records, None), Ok(()));
        assert_eq!(verify_audit(&records[2..], Some(records[1].hash)), Ok(()));
        assert_eq!(verify_audit(&records[2..], None), Ok(()));
        assert_eq!(verify_audit(&[], None), Ok(()));
    }

    #[test]
    fn every_altered_field_and_every_missing_record_is_named() {
        let altered = |change: fn(&mut AuditRecord)| {
            let mut records = chain(5);
            change(&mut records[2]);
            verify_audit(&records, None).expect_err("broken")
        };
        for broken in [
            altered(|r| r.index += 1),
            altered(|r| r.at.push('0')),
            altered(|r| r.actor = "key eve".into()),
            altered(|r| r.role = "user".into()),
            altered(|r| r.action.push('s')),
            altered(|r| r.subject = "n".into()),
        ] {
            assert!(matches!(broken, AuditBroken::Altered { sequence: 3, .. }), "{broken}");
        }
        // Sealed anew, it no longer is what the next one names.
        let forged = altered(|r| {
            r.subject = "n".into();
            *r = r.clone().sealed();
        });
        assert!(matches!(forged, AuditBroken::Unbound { sequence: 4, .. }), "{forged}");
        let mut records = chain(5);
        records.remove(2);
        assert_eq!(verify_audit(&records, None), Err(AuditBroken::Missing { found: 4, wanted: 3 }));
        let records = chain(5);
        let foreign = verify_audit(&records[1..], Some(Digest::of(b"other"))).expect_err("broken");
        assert!(matches!(foreign, AuditBroken::Unbound { sequence: 2, .. }), "{foreign}");
        let mut moved = chain(5);
        moved[1].previous = Digest::of(b"x");
        assert!(verify_audit(&moved, None).is_err());
    }
}
