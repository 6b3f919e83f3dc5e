//! Identifiers that cross a process boundary, each a type of its own so that two never mix.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use wincode::{SchemaRead, SchemaWrite};

use crate::error::ProtocolError;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// One running copy of a deployment; never reused in a cluster's life.
    ReplicaId(u64)
);
number_id!(
    /// Log index of the command that committed a replica's plan; newer is larger.
    Epoch(u64)
);
number_id!(
    /// Position of a rank in `Plan::ranks`, counted over all stages in order.
    RankIndex(u32)
);
number_id!(
    /// Position of a stage in its pipeline, head first.
    StageIndex(u32)
);
number_id!(
    /// A transformer layer, 0-based over the whole model.
    LayerIndex(u32)
);
number_id!(
    /// A block of the paged KV pool; the same id means the same block on every stage.
    BlockId(u32)
);
number_id!(
    /// A slot for fixed-size sequence state (recurrent layers).
    StateSlot(u32)
);
number_id!(
    /// A sequence inside one head's life; given out by the head.
    SequenceId(u64)
);
number_id!(
    /// Order of a step inside an epoch, from 0.
    StepId(u64)
);
number_id!(
    /// A vocabulary entry.
    TokenId(u32)
);

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The first 8 hexadecimal digits, for people.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ProtocolError;

            fn from_str(text: &str) -> Result<Self, ProtocolError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ProtocolError::NotAnId {
                    kind: stringify!($name),
                    value: text.chars().take(80).collect(),
                })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String);
                text.pattern(Some("^[0-9a-f]{64}$")).into()
            }
        }

        impl ToSchema for $name {}

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

bytes_id!(
    /// SHA-256 of a node's public key (SubjectPublicKeyInfo): an identity that cannot be claimed
    /// without the key.
    NodeId
);
bytes_id!(
    /// BLAKE3 of a blob, a weight chunk or a manifest.
    Digest
);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Digest::of(b"weights");
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
        let json = serde_json::to_string(&digest).expect("serialises");
        assert_eq!(serde_json::from_str::<Digest>(&json).ok(), Some(digest));
    }

    #[test]
    fn a_short_or_odd_id_is_refused_by_name() {
        let error = "12ab".parse::<NodeId>().expect_err("too short");
        assert!(error.to_string().contains("NodeId") && error.to_string().contains("12ab"));
    }
}
