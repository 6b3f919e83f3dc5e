//! Certificates of the cluster: who signs, who renews, who is no longer trusted.

mod api_tls;
mod authority;
mod duplicate;
mod keeper;
mod rotation;
mod service;

pub(crate) use self::api_tls::ApiTls;
pub(crate) use self::authority::Authority;
pub(crate) use self::duplicate::someone_else_at;
pub(crate) use self::keeper::{Keeper, Seen, trust};
pub(crate) use self::rotation::{RotationError, next_ca};
pub(crate) use self::service::{IdentityService, dial};
