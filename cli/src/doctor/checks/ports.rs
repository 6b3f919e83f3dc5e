//! A port that another program holds.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(here) = &facts.here else { return Vec::new() };
    let taken = here.ports_taken.iter().map(|address| {
        let port = address.rsplit_once([':', ' ']).map_or("7443", |(_, port)| port);
        let told = format!("{address} is held by another program: the node cannot listen");
        let fix = format!(
            "find it: sudo ss -lntup 'sport = :{port}'; or give the node another: --listen"
        );
        Finding::fail("net.port_taken", &here.name, told, fix)
    });
    taken.collect()
}
