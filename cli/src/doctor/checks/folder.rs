//! The data directory: there, writable, and its keys nobody else's to read.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(folder) = facts.here.as_ref().and_then(|here| here.folder.as_ref()) else {
        return Vec::new();
    };
    let path = &folder.path;
    if let Some(why) = &folder.not_writable {
        let fix = format!("as the node's user: sudo chown -R trireme: {path}; or name --data-dir");
        return vec![Finding::fail("data.access", path, why, fix)];
    }
    match folder.keys_mode.map(|mode| mode & 0o777) {
        Some(mode) if mode & 0o077 != 0 => {
            let told = format!("{path}/identity has mode {mode:o}: others may read its keys");
            let fix = format!("chmod 700 {path}/identity && chmod 600 {path}/identity/*.key");
            vec![Finding::fail("data.access", path, told, fix)]
        }
        _ => vec![Finding::pass("data.access", path, "writable, keys private")],
    }
}
