//! Nodes of cores and memory as Linux tells them, and which of them a stage should be on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Node, affinity};

/// More than any machine has: a list in a file is not believed beyond.
const NUMBER_MAX: usize = 1 << 16;

/// What a mask or a cpuset leaves to this process.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) cpus: BTreeSet<usize>,
    /// Nodes whose memory it may take; all if not said.
    pub(super) nodes: Option<BTreeSet<usize>>,
}

impl Allowed {
    pub(super) fn of_process() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let nodes = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"));
        Some(Self { cpus: affinity::allowed().ok()?, nodes: nodes.and_then(numbers) })
    }
}

/// The nodes that a process may use, with cores and memory.
#[derive(Debug)]
pub(super) struct Topology {
    nodes: Vec<(Node, u64)>,
}

impl Topology {
    /// Reads `folder` (`/sys/devices/system/node`); `None` where it says nothing that fits.
    pub(super) fn read(folder: &Path, allowed: &Allowed) -> Option<Self> {
        let online = numbers(&fs::read_to_string(folder.join("online")).ok()?)?;
        let may_use = |node: &usize| allowed.nodes.as_ref().is_none_or(|all| all.contains(node));
        let read = |node: usize| {
            let folder = folder.join(format!("node{node}"));
            let cpus = numbers(&fs::read_to_string(folder.join("cpulist")).ok()?)?;
            let cpus: Vec<_> = cpus.intersection(&allowed.cpus).copied().collect();
            let free = free_bytes(&fs::read_to_string(folder.join("meminfo")).ok()?)?;
            let node = Node { id: u32::try_from(node).ok()?, cpus };
            Some((node, free))
        };
        let nodes: Option<Vec<_>> = online.into_iter().filter(may_use).map(read).collect();
        // A node may have memory alone, or no core that is allowed.
        let usable = |(node, _): &(Node, u64)| !node.cpus.is_empty();
        Some(Self { nodes: nodes?.into_iter().filter(usable).collect() })
    }

    pub(super) fn has_choice(&self) -> bool {
        self.nodes.len() > 1
    }

    /// The node with the most free memory, if there are several and it has room for `bytes`.
    pub(super) fn choose(&self, bytes: u64) -> Option<&Node> {
        // Of equals the first: another process that chooses at the same time sees no other order.
        let most = self.nodes.iter().rev().max_by_key(|(_, free)| *free);
        let fits = most.filter(|(_, free)| self.has_choice() && *free >= bytes);
        fits.map(|(node, _)| node)
    }
}

/// `0-3,8` as numbers; `None` for anything else.
fn numbers(list: &str) -> Option<BTreeSet<usize>> {
    let mut all = BTreeSet::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last > NUMBER_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// What a node's `meminfo` says can be had: free pages, and those of files, which give way.
fn free_bytes(meminfo: &str) -> Option<u64> {
    let kilobytes = |field: &str| {
        let line = meminfo.lines().find(|line| line.split_whitespace().nth(2) == Some(field))?;
        line.split_whitespace().nth(3)?.parse::<u64>().ok()
    };
    let files = kilobytes("Active(file):").unwrap_or(0) + kilobytes("Inactive(file):").unwrap_or(0);
    Some((kilobytes("MemFree:")? + files) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A folder as Linux has it: cores and free GiB of each node.
    struct Fake(std::path::PathBuf);

    impl Fake {
        fn of(name: &str, nodes: &[(&str, u64)]) -> Self {
            let folder = std::env::temp_dir().join(format!("numa-{}-{name}", std::process::id()));
            for (node, (cpus, free)) in nodes.iter().enumerate() {
                let own = folder.join(format!("node{node}"));
                fs::create_dir_all(&own).expect("a folder");
                fs::write(own.join("cpulist"), format!("{cpus}\n")).expect("written");
                let meminfo = format!(
                    "Node {node} MemTotal:       99999999 kB\n\
                     Node {node} MemFree:        {} kB\n\
                     Node {node} Active(file):   {} kB\n",
                    free * GIB / 2048,
                    free * GIB / 2048,
                );
                fs::write(own.join("meminfo"), meminfo).expect("written");
            }
            let online = format!("0-{}\n", nodes.len() - 1);
            fs::write(folder.join("online"), online).expect("written");
            Self(folder)
        }

        fn choose(&self, allowed: &Allowed, bytes: u64) -> Option<Node> {
            Topology::read(&self.0, allowed).expect("it reads").choose(bytes).cloned()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("it was there");
        }
    }

    fn all() -> Allowed {
        Allowed { cpus: (0..64).collect(), nodes: None }
    }

    fn only(cpus: impl IntoIterator<Item = usize>) -> Allowed {
        Allowed { cpus: cpus.into_iter().collect(), nodes: None }
    }

    #[test]
    fn a_stage_goes_where_most_memory_is_free_if_it_fits_there() {
        let two = Fake::of("two", &[("0-3,8-11", 20), ("4-7,12-15", 30)]);
        let node = two.choose(&all(), 25 * GIB).expect("it fits");
        assert_eq!(node, Node { id: 1, cpus: vec![4, 5, 6, 7, 12, 13, 14, 15] });
        assert_eq!(two.choose(&all(), 31 * GIB), None, "it fits nowhere");
        let equal = Fake::of("equal", &[("0-1", 8), ("2-3", 8)]);
        assert_eq!(equal.choose(&all(), GIB).map(|node| node.id), Some(0));
    }

    #[test]
    fn one_node_or_a_mask_or_cpuset_that_leaves_one_is_no_choice() {
        let one = Fake::of("one", &[("0-1", 30)]);
        assert_eq!(one.choose(&all(), GIB), None);
        let two = Fake::of("masked", &[("0-3", 20), ("4-7", 30)]);
        assert_eq!(two.choose(&only(0..4), GIB), None, "a mask");
        let memory_of_one = Allowed { nodes: Some([0].into()), ..all() };
        assert_eq!(two.choose(&memory_of_one, GIB), None, "a cpuset");
    }

    #[test]
    fn only_allowed_cores_are_bound_to_and_nodes_without_any_are_left_out() {
        let nodes = Fake::of("cores", &[("0-3", 20), ("4-7", 30), ("", 90)]);
        let node = nodes.choose(&only([1, 5, 6]), GIB).expect("two nodes have cores");
        assert_eq!(node, Node { id: 1, cpus: vec![5, 6] });
    }

    #[test]
    fn lists_are_read_as_linux_writes_them_and_no_others() {
        assert_eq!(numbers("0-2,7\n"), Some([0, 1, 2, 7].into()));
        assert_eq!(numbers("\n"), Some([].into()));
        for bad in ["0-", "x", "0-99999999", "1-2-3"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
        assert!(Topology::read(Path::new("/nonexistent"), &all()).is_none());
    }
}
