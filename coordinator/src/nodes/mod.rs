//! What other nodes see of a coordinator: joining, control streams, and the QUIC data plane.

mod attach;
pub(crate) mod blobs;
pub(crate) mod data_plane;
mod directory;
mod imports;
mod join;
pub(crate) mod questions;
mod registry;
pub(crate) mod texts;

pub use self::data_plane::DataPlane;
pub use self::directory::ClusterDirectory;
pub use self::registry::WorkerRegistry;

pub(crate) use self::attach::{AttachService, compare_clock};
pub(crate) use self::imports::Imports;
pub(crate) use self::join::JoinService;
pub(crate) use self::questions::QuestionService;
pub(crate) use self::registry::AskError;
