//! Which interfaces of this machine the links of a group go through.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sysinfo::Networks;

/// The names of those that have one of `addresses`, each once.
pub(crate) fn interfaces_of(addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    let Ok(networks) = Networks::new_with_refreshed_list() else { return Vec::new() };
    let owned = networks.iter().map(|(name, network)| {
        let addresses = network.ip_networks().iter().map(|network| network.addr);
        (name.to_str().unwrap_or_default(), addresses.collect())
    });
    named(owned, addresses)
}

fn named<'a>(
    interfaces: impl Iterator<Item = (&'a str, Vec<IpAddr>)>,
    addresses: &BTreeSet<IpAddr>,
) -> Vec<String> {
    let used = interfaces.filter(|(_, own)| own.iter().any(|own| addresses.contains(own)));
    let mut names: Vec<_> = used.map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interfaces_with_the_links_own_addresses_are_named_once() {
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let interfaces =
            [("eth0", vec![ip(1), ip(2)]), ("docker0", vec![ip(9)]), ("eth1", vec![ip(3)])];
        let found = |addresses: &[IpAddr]| {
            named(interfaces.clone().into_iter(), &addresses.iter().copied().collect())
        };
        assert_eq!(found(&[ip(3), ip(1), ip(2)]), ["eth0", "eth1"]);
        assert_eq!(found(&[]), Vec::<String>::new());
    }
}
