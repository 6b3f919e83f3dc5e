//! Pairs of workers that do not reach each other, or by the wrong interface.

use protocol::admin::NodeState;
use protocol::host_facts::{HostFacts, Interface};

use crate::doctor::facts::{Facts, Node, Profile};
use crate::doctor::finding::Finding;

/// A link far below both ends' cables goes another way.
const OF_CABLE_MIN: f64 = 0.25;
/// Links are measured within this after a worker came.
const PROBED_SECONDS: f64 = 60.0;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let ready: Vec<_> =
        facts.profiles().filter(|(node, _)| node.state == NodeState::Ready).collect();
    let mut found = Vec::new();
    for (index, &a) in ready.iter().enumerate() {
        let settled = |node: &Node| {
            facts.seconds_since(&node.since).is_none_or(|seconds| seconds > PROBED_SECONDS)
        };
        let others = ready[index + 1..].iter().filter(|(b, _)| settled(a.0) && settled(b));
        found.extend(others.filter_map(|&b| pair(a, b)));
    }
    if found.is_empty() && ready.len() > 1 {
        let pairs = ready.len() * (ready.len() - 1) / 2;
        found.push(Finding::pass("net.links", "workers", format!("all {pairs} pairs reach")));
    }
    found
}

/// Either direction will do: whichever end can dials.
fn pair((a, of_a): (&Node, &Profile), (b, of_b): (&Node, &Profile)) -> Option<Finding> {
    let about = format!("{}⇄{}", a.name, b.name);
    let (there, back) = (of_a.links.get(&b.id), of_b.links.get(&a.id));
    let measured = [there, back].into_iter().flatten().filter(|link| link.reachable);
    let Some(best) = measured.max_by(|x, y| x.bytes_per_second.total_cmp(&y.bytes_per_second))
    else {
        let told = format!(
            "no direct way, so no pipeline between them: {} has {}, {} has {}",
            a.name,
            interfaces(&of_a.host),
            b.name,
            interfaces(&of_b.host)
        );
        let fix = format!(
            "open UDP between them (sudo ufw allow 7443/udp), and name the address that {} \
             reaches: trireme worker --advertise ADDRESS:7443",
            a.name
        );
        return Some(Finding::fail("net.link_missing", &about, told, fix));
    };
    let cable = fastest(&of_a.host)?.megabits_per_second?;
    let cable = cable.min(fastest(&of_b.host)?.megabits_per_second?) as f64 * 1e6;
    let speed = best.bytes_per_second * 8.0;
    if speed >= OF_CABLE_MIN * cable {
        return None;
    }
    let told = format!(
        "{:.2} Gbit/s where both have {:.0} Gbit/s cables: another interface is in use",
        speed / 1e9,
        cable / 1e9
    );
    let address = fastest(&of_b.host).and_then(|i| i.addresses.first()).cloned();
    let fix = format!(
        "name the fast one on {}: trireme worker --advertise {}:7443",
        b.name,
        address.unwrap_or_else(|| "ADDRESS".to_owned())
    );
    Some(Finding::warn("net.interface", &about, told, fix))
}

fn fastest(host: &HostFacts) -> Option<&Interface> {
    let cables = host.interfaces.iter().filter(|i| !i.is_virtual && !i.addresses.is_empty());
    cables.max_by_key(|interface| interface.megabits_per_second)
}

fn interfaces(host: &HostFacts) -> String {
    let named = |interface: &Interface| {
        let address = interface.addresses.first()?;
        let kind = if interface.is_virtual { ", virtual" } else { "" };
        Some(format!("{} ({address}{kind})", interface.name))
    };
    let all: Vec<_> = host.interfaces.iter().filter_map(named).collect();
    if all.is_empty() { "no interface".to_owned() } else { all.join(", ") }
}
