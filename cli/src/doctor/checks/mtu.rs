//! Ends of one network that send packets of different sizes.

use protocol::host_facts::Interface;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let hosts: Vec<_> = facts.hosts().collect();
    let cables = hosts.iter().flat_map(|(name, host)| {
        let real = host.interfaces.iter().filter(|i| !i.is_virtual && i.mtu > 0);
        real.flat_map(move |i| networks(i).map(move |network| (network, *name, i)))
    });
    let mut cables: Vec<_> = cables.collect();
    cables.sort_by(|a, b| a.0.cmp(&b.0));
    let networks = cables.chunk_by(|a, b| a.0 == b.0);
    networks.filter_map(differing).collect()
}

fn differing(ends: &[(String, &str, &Interface)]) -> Option<Finding> {
    let (_, large_name, large) = ends.iter().max_by_key(|(_, _, i)| i.mtu)?;
    let (network, small_name, small) = ends.iter().min_by_key(|(_, _, i)| i.mtu)?;
    if large.mtu == small.mtu {
        return None;
    }
    let told = format!(
        "MTU {} on {large_name} ({}), {} on {small_name} ({}): large packets are lost or split",
        large.mtu, large.name, small.mtu, small.name
    );
    let fix = format!("on {small_name}: sudo ip link set dev {} mtu {}", small.name, large.mtu);
    Some(Finding::warn("net.mtu", &format!("{network}.0/24"), told, fix))
}

/// The first three numbers of each IPv4 address: what a small network shares.
fn networks(interface: &Interface) -> impl Iterator<Item = String> {
    let v4 = interface.addresses.iter().filter(|address| address.contains('.'));
    v4.filter_map(|address| Some(address.rsplit_once('.')?.0.to_owned()))
}
