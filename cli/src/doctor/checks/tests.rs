//! A healthy cluster passes; each fault put into its facts is named, with a line that fixes it.

use std::collections::BTreeMap;

use protocol::admin::NodeState;
use protocol::control::Role;
use protocol::host_facts::{DiskFacts, HostFacts, Interface};
use protocol::ids::NodeId;
use protocol::node_profile::LinkProfile;

use super::all;
use crate::doctor::facts::*;
use crate::doctor::finding::Level;

const GIB: u64 = 1 << 30;
/// 2026-11-22T09:00:00Z.
const NOW_MS: u64 = 1_795_338_000_000;
const HOUR_AGO: &str = "2026-11-22T08:00:00.000Z";
const TWO_HOURS_AGO: &str = "2026-11-22T07:00:00.000Z";

fn host(number: u8) -> HostFacts {
    let interface = |name: &str, address: String, is_virtual: bool| Interface {
        name: name.to_owned(),
        addresses: vec![address],
        mtu: 1500,
        megabits_per_second: (!is_virtual).then_some(10_000),
        is_virtual,
    };
    HostFacts {
        clock_ahead_seconds: Some(0.01),
        interfaces: vec![
            interface("docker0", format!("172.17.{number}.1"), true),
            interface("enp5s0", format!("10.0.0.{number}"), false),
        ],
        disk: Some(DiskFacts {
            path: "/var/lib/trireme".to_owned(),
            total_bytes: 500 * GIB,
            free_bytes: 300 * GIB,
            ..DiskFacts::default()
        }),
        memory_available_bytes: 30 * GIB,
        ..HostFacts::default()
    }
}

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn worker(number: u8, peers: &[u8]) -> Node {
    let link = LinkProfile::new(1e-4, 1.1e9);
    Node {
        id: id(number),
        name: format!("b{number}"),
        is_worker: true,
        state: NodeState::Ready,
        reason: String::new(),
        since: HOUR_AGO.to_owned(),
        profile: Some(Profile {
            version: "1.3.0".to_owned(),
            hostname: format!("host{number}"),
            host: host(number),
            links: peers.iter().map(|peer| (id(*peer), link)).collect::<BTreeMap<_, _>>(),
            usable_bytes: 20 * GIB,
            unified: false,
        }),
    }
}

/// Seen from the machine of worker 2.
fn healthy() -> Facts {
    let way = Way {
        address: "10.0.0.11:7443".to_owned(),
        udp_sent: 20,
        udp_answered: 20,
        ..Way::default()
    };
    let mut disk = host(2);
    if let Some(disk) = &mut disk.disk {
        (disk.write_bytes_per_second, disk.sync_seconds) = (Some(9e8), Some(0.002));
    }
    Facts {
        version: "1.3.0".to_owned(),
        now_ms: NOW_MS,
        here: Some(Here {
            name: "b2".to_owned(),
            host: disk,
            folder: Some(Folder {
                path: "/var/lib/trireme".to_owned(),
                keys_mode: Some(0o40_700),
                not_writable: None,
            }),
            own: Some(Own {
                node: id(2),
                role: Role::Worker,
                cluster: "lab".to_owned(),
                expires_ms: NOW_MS + 200 * 86_400_000,
                address: None,
            }),
            proxy: None,
            ports_taken: vec![],
        }),
        ways: vec![way],
        cluster: Some(Cluster {
            api: "https://10.0.0.11:8443".to_owned(),
            clock_ahead_seconds: Some(0.2),
            has_quorum: true,
            coordinators: 3,
            nodes: vec![worker(2, &[3]), worker(3, &[2])],
            models: vec![Model {
                name: "llama".to_owned(),
                weight_bytes: 40 * GIB,
                holders: vec!["b2".to_owned(), "b3".to_owned()],
                context_own: 131_072,
                deployed: Some(Deployed {
                    is_ready: true,
                    state: "ready".to_owned(),
                    since: HOUR_AGO.to_owned(),
                    context: 65_536,
                    ..Deployed::default()
                }),
            }],
            operations: vec![],
        }),
        no_answer: None,
    }
}

fn cluster(facts: &mut Facts) -> &mut Cluster {
    facts.cluster.as_mut().expect("a cluster")
}

fn here(facts: &mut Facts) -> &mut Here {
    facts.here.as_mut().expect("a machine")
}

/// Of worker 3, which is another machine.
fn other(facts: &mut Facts) -> &mut Profile {
    cluster(facts).nodes[1].profile.as_mut().expect("registered")
}

fn deployed(facts: &mut Facts) -> &mut Deployed {
    cluster(facts).models[0].deployed.as_mut().expect("deployed")
}

/// The fault's check does not pass, names who it is about, and gives numbers and a command.
fn check(name: &str, level: Level, words: &[&str], fault: impl FnOnce(&mut Facts)) {
    let mut facts = healthy();
    fault(&mut facts);
    let found = all(&facts);
    let of_name = found.iter().find(|f| f.name == name && f.level == level);
    let lines: Vec<_> = found.iter().map(|f| f.line()).collect();
    let of_name = of_name.unwrap_or_else(|| panic!("no {level:?} {name}: {lines:#?}"));
    let line = of_name.line();
    assert!(!of_name.fix.is_empty() && !of_name.about.is_empty(), "{line}");
    for word in words {
        assert!(line.contains(word), "`{word}` is missing: {line}");
    }
}

#[test]
fn a_healthy_cluster_passes_every_check() {
    let found = all(&healthy());
    let lines: Vec<_> = found.iter().map(|f| f.line()).collect();
    assert!(found.iter().all(|f| f.level == Level::Pass), "{lines:#?}");
    assert!(found.len() >= 12, "{lines:#?}");
}

#[test]
fn f1_nodes_that_never_see_each_other() {
    use Level::{Fail, Warn};
    check("net.tcp", Fail, &["10.0.0.11:7443", "refused", "ufw allow 7443/tcp"], |facts| {
        facts.ways[0].tcp_refused = Some("connection refused".to_owned());
    });
    check("net.udp_blocked", Fail, &["0 of 20", "TCP ok", "ufw allow 7443/udp"], |facts| {
        facts.ways[0].udp_answered = 0;
    });
    check("net.udp_loss", Warn, &["11 of 20"], |facts| facts.ways[0].udp_answered = 11);
    check("identity.trust", Fail, &["another cluster", "node join"], |facts| {
        facts.ways[0].not_trusted = Some("certificate is of another cluster".to_owned());
    });
    check("node.lost", Fail, &["b3", "silent for 4 s", "3600 s", "node rm b3"], |facts| {
        let node = &mut cluster(facts).nodes[1];
        (node.state, node.reason) = (NodeState::Lost, "silent for 4 s".to_owned());
    });
    check("net.port_taken", Fail, &["UDP 10.0.0.12:7443", "sport = :7443"], |facts| {
        here(facts).ports_taken = vec!["UDP 10.0.0.12:7443".to_owned()];
    });
}

#[test]
fn f2_a_cloned_disk() {
    let words = ["10.0.0.2", "10.0.0.77", "rm -r /var/lib/trireme/identity", "node join"];
    check("identity.duplicate", Level::Fail, &words, |facts| {
        here(facts).host.interfaces[0].addresses = vec!["172.18.0.1".to_owned()];
        here(facts).host.interfaces[1].addresses = vec!["10.0.0.77".to_owned()];
    });
}

#[test]
fn f3_graphics_cards_that_are_not_used() {
    check("gpu.missing", Level::Fail, &["b3", "2 NVIDIA cards", "install"], |facts| {
        other(facts).host.gpus.on_bus = 2;
    });
    let words = ["580.95", "550.54", "reboot"];
    check("gpu.driver", Level::Fail, &words, |facts| {
        let gpus = &mut other(facts).host.gpus;
        (gpus.on_bus, gpus.in_nvml, gpus.in_cuda) = (1, 1, 1);
        gpus.module_version = "550.54.14".to_owned();
        gpus.library_version = "580.95.05".to_owned();
    });
    let words = ["NVML has 2, CUDA 1", "CUDA_VISIBLE_DEVICES"];
    check("gpu.unused", Level::Fail, &words, |facts| {
        let gpus = &mut other(facts).host.gpus;
        (gpus.on_bus, gpus.in_nvml, gpus.in_cuda) = (2, 2, 1);
        gpus.module_version = "580.95.05".to_owned();
    });
}

#[test]
fn f4_memory_that_is_shared_with_the_host() {
    check("gpu.unified", Level::Fail, &["Orin NX", "30.0 GiB", "l4t"], |facts| {
        let gpus = &mut other(facts).host.gpus;
        (gpus.tegra, gpus.cuda_reason) = ("Jetson Orin NX".to_owned(), "no CUDA".to_owned());
    });
}

#[test]
fn f5_a_wrong_interface() {
    let words = ["b2⇄b3", "enp5s0 (10.0.0.2)", "docker0 (172.17.3.1, virtual)", "--advertise"];
    check("net.link_missing", Level::Fail, &words, |facts| {
        for node in &mut cluster(facts).nodes {
            node.profile.as_mut().expect("registered").links.clear();
        }
    });
    check("net.interface", Level::Warn, &["0.80 Gbit/s", "10 Gbit/s", "10.0.0.3:7443"], |facts| {
        for node in &mut cluster(facts).nodes {
            let links = &mut node.profile.as_mut().expect("registered").links;
            links.values_mut().for_each(|link| link.bytes_per_second = 1e8);
        }
    });
    check("net.mtu", Level::Warn, &["9000 on b2", "1500 on b3", "mtu 9000"], |facts| {
        here(facts).host.interfaces[1].mtu = 9000;
    });
}

#[test]
fn f6_versions_apart() {
    check("version", Level::Fail, &["b3", "1.1.9", "install 1.3.0"], |facts| {
        other(facts).version = "1.1.9".to_owned();
    });
    check("version", Level::Warn, &["1.4.0"], |facts| other(facts).version = "1.4.0".to_owned());
}

#[test]
fn f7_what_one_dead_machine_takes_along() {
    check("cluster.quorum", Level::Fail, &["3 coordinators", "systemctl start"], |facts| {
        cluster(facts).has_quorum = false;
    });
    check("cluster.redundancy", Level::Warn, &["1 of them", "--role coordinator"], |facts| {
        cluster(facts).coordinators = 1;
    });
    check("model.one_holder", Level::Warn, &["only b2", "--node"], |facts| {
        cluster(facts).models[0].holders.truncate(1);
    });
}

#[test]
fn f8_memory_that_is_not_there() {
    check("memory.limit", Level::Fail, &["64.0 GiB", "30.0 GiB"], |facts| {
        other(facts).host.memory_limit_bytes = Some(64 * GIB);
    });
    check("memory.usable", Level::Fail, &["b3", "1.0 MiB"], |facts| {
        other(facts).usable_bytes = 1 << 20;
    });
    check("memory.slow", Level::Warn, &["b3", "0.4 GB/s", "vmstat"], |facts| {
        other(facts).host.memory_copy_bytes_per_second = Some(4e8);
    });
}

#[test]
fn f9_work_that_waits_for_ever() {
    let words = ["deploy llama", "7200 s", "weights", "node ls"];
    check("work.stuck", Level::Fail, &words, |facts| {
        cluster(facts).operations.push(Operation {
            id: "01J".to_owned(),
            what: "deploy llama".to_owned(),
            note: "2 nodes fetch weights".to_owned(),
            started_at: TWO_HOURS_AGO.to_owned(),
        });
    });
    check("model.pending", Level::Fail, &["needs 9.1 GiB", "trireme plan llama"], |facts| {
        let deployed = deployed(facts);
        (deployed.is_ready, deployed.state) = (false, "degraded".to_owned());
        deployed.reason = "needs 9.1 GiB more".to_owned();
    });
}

#[test]
fn f10_a_node_that_comes_and_goes() {
    check("node.flapping", Level::Warn, &["b3", "4 times", "dmesg"], |facts| {
        cluster(facts).nodes[1].reason = "was lost 4 times; used again in 12 s".to_owned();
    });
}

#[test]
fn f11_weights_that_would_travel_again() {
    check("weights.refetched", Level::Warn, &["b3", "after a restart", "--data-dir"], |facts| {
        other(facts).host.disk.as_mut().expect("a disk").is_volatile = true;
    });
    check("weights.gone", Level::Fail, &["40.0 GiB", "model import"], |facts| {
        cluster(facts).models[0].holders.clear();
    });
    check("disk.full", Level::Fail, &["b3", "1.0 MiB free of 500.0 GiB"], |facts| {
        other(facts).host.disk.as_mut().expect("a disk").free_bytes = 1 << 20;
    });
    check("disk.slow", Level::Warn, &["12 MB/s", "SSD"], |facts| {
        here(facts).host.disk.as_mut().expect("a disk").write_bytes_per_second = Some(1.2e7);
    });
}

#[test]
fn f12_a_proxy_in_the_way() {
    check("net.proxy", Level::Warn, &["http://proxy:3128", "NO_PROXY=", "10.0.0.11"], |facts| {
        here(facts).proxy = Some(("https_proxy".to_owned(), "http://proxy:3128".to_owned()));
    });
}

#[test]
fn f13_a_context_that_is_too_short() {
    let words = ["8192", "131072", "model deploy llama --context-length 32768"];
    check("model.context", Level::Warn, &words, |facts| deployed(facts).context = 8192);
}

#[test]
fn identity_clock_and_folder() {
    use Level::{Fail, Warn};
    check("identity.expired", Fail, &["2.0 days ago", "node join"], |facts| {
        here(facts).own.as_mut().expect("a node").expires_ms = NOW_MS - 2 * 86_400_000;
    });
    check("identity.expires", Warn, &["3 days"], |facts| {
        here(facts).own.as_mut().expect("a node").expires_ms = NOW_MS + 3 * 86_400_000;
    });
    check("time.skew", Warn, &["b3", "+4.2 s", "chrony"], |facts| {
        other(facts).host.clock_ahead_seconds = Some(4.2);
    });
    check("time.skew", Fail, &["b2", "-7200.0 s"], |facts| {
        cluster(facts).clock_ahead_seconds = Some(-7200.0);
    });
    check("data.access", Fail, &["755", "chmod 700"], |facts| {
        here(facts).folder.as_mut().expect("a folder").keys_mode = Some(0o40_755);
    });
    check("data.access", Fail, &["denied", "chown"], |facts| {
        let folder = here(facts).folder.as_mut().expect("a folder");
        folder.not_writable = Some("permission denied".to_owned());
    });
    check("cluster.api", Fail, &["no coordinator answers", "--api"], |facts| {
        facts.no_answer = Some("no coordinator answers at http://x".to_owned());
    });
}
