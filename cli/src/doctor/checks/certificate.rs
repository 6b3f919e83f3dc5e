//! A certificate that has run out, or soon does.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

const DAY_MS: f64 = 86_400_000.0;
/// Nodes renew theirs long before.
const SOON_DAYS: f64 = 7.0;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(own) = facts.here.as_ref().and_then(|here| here.own.as_ref()) else {
        return Vec::new();
    };
    let days = (own.expires_ms as f64 - facts.now_ms as f64) / DAY_MS;
    let about = format!("{} {} of {}", own.role.name(), own.node.short(), own.cluster);
    if days <= 0.0 {
        let told = format!("ran out {:.1} days ago: every node refuses it", -days);
        let fix = "set the clock right if it is wrong; else join again, data stays: \
                   trireme node join TOKEN";
        return vec![Finding::fail("identity.expired", &about, told, fix)];
    }
    let told = format!("the certificate is good for {days:.0} days");
    if days < SOON_DAYS {
        let fix = "start the node: it renews its certificate when it reaches a coordinator";
        return vec![Finding::warn("identity.expires", &about, told, fix)];
    }
    vec![Finding::pass("identity.valid", &about, told)]
}
