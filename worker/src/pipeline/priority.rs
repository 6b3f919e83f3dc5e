//! Compute threads run below the threads that detect failures.

/// Steps of niceness that compute gives way by.
const NICENESS: i32 = 5;

/// Lowers the calling thread only (on Linux niceness belongs to a thread).
pub(crate) fn lower_priority() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "compute threads keep their priority");
    }
}
