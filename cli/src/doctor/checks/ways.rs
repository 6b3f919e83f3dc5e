//! Nodes that never see each other: a port that is closed on TCP, UDP or by the other end.

use crate::doctor::facts::{Facts, Way};
use crate::doctor::finding::Finding;

/// Of datagrams; a good link loses next to none.
const LOSS_MAX: f64 = 0.2;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<_> = facts.ways.iter().flat_map(way).collect();
    if let Some(why) = &facts.no_answer {
        let fix = "start `trireme coordinator` there, or name another one: --api URL";
        found.push(Finding::fail("cluster.api", "the API", why, fix));
    }
    match &facts.cluster {
        Some(cluster) if !cluster.has_quorum => {
            let about = format!("{} coordinators", cluster.coordinators);
            let facts = "no quorum: changes are refused, what is deployed keeps serving";
            let fix = "start the coordinators that are down: systemctl start trireme-coordinator";
            found.push(Finding::fail("cluster.quorum", &about, facts, fix));
        }
        Some(cluster) => found.push(Finding::pass("cluster.quorum", &cluster.api, "there is one")),
        None => {}
    }
    found
}

fn way(way: &Way) -> Vec<Finding> {
    let about = &way.address;
    let port = about.rsplit_once(':').map_or("7443", |(_, port)| port);
    let tcp = match (&way.tcp_refused, &way.not_trusted) {
        (Some(why), _) => {
            let fix = format!(
                "see that `trireme coordinator` runs there, and open: sudo ufw allow {port}/tcp"
            );
            return vec![Finding::fail("net.tcp", about, why, fix)];
        }
        (None, Some(why)) => {
            let fix = "join that cluster from an empty folder: trireme node join TOKEN";
            Finding::fail("identity.trust", about, why, fix)
        }
        (None, None) => Finding::pass("net.tcp", about, "TCP and TLS answer"),
    };
    vec![tcp, udp(way, port)]
}

fn udp(way: &Way, port: &str) -> Finding {
    let (sent, answered) = (way.udp_sent, way.udp_answered);
    let facts = format!("UDP {port}: {answered} of {sent} datagrams answered, TCP ok");
    let lost = 1.0 - f64::from(answered) / f64::from(sent.max(1));
    if answered == 0 {
        let facts = format!("{facts}: no model can run over this way");
        let fix = format!("open it there and between: sudo ufw allow {port}/udp");
        return Finding::fail("net.udp_blocked", &way.address, facts, fix);
    }
    if lost > LOSS_MAX {
        let fix = "look at cable, switch and Wi-Fi: ping -c 100 -i 0.2 the same host";
        return Finding::warn("net.udp_loss", &way.address, facts, fix);
    }
    Finding::pass("net.udp", &way.address, facts)
}
