//! Hosts on one machine: a network namespace each, on a bridge, with firewall rules between them.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The bridge; the test itself has its last address.
pub struct Network {
    bridge: String,
    /// Third part of every address.
    number: u32,
    hosts: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    pub address: String,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// The error says why this machine or user cannot have one.
    pub fn new() -> Result<Self, String> {
        let process = std::process::id();
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let number = (process.wrapping_mul(7) + made) % 250;
        let bridge = format!("tr{process}-{made}");
        run("nft", &["--version"])?;
        run("ip", &["link", "add", &bridge, "type", "bridge"])?;
        let network = Self { bridge, number, hosts: Vec::new() };
        let own = format!("{}/24", network.own_address());
        run("ip", &["addr", "add", &own, "dev", &network.bridge])?;
        run("ip", &["link", "set", &network.bridge, "up"])?;
        Ok(network)
    }

    /// The next host, reached from the test and from all others.
    pub fn host(&mut self) -> Result<Host, String> {
        let index = self.hosts.len() as u32 + 1;
        let (name, address) = (format!("{}-{index}", self.bridge), self.address(index));
        let outside = format!("v{}-{index}", self.bridge);
        run("ip", &["netns", "add", &name])?;
        self.hosts.push(name.clone());
        run(
            "ip",
            &["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", &name],
        )?;
        run("ip", &["link", "set", &outside, "master", &self.bridge, "up"])?;
        let host = Host { name, address };
        let own = format!("{}/24", host.address);
        host.run(&["ip", "addr", "add", &own, "dev", "eth0"])?;
        host.run(&["ip", "link", "set", "eth0", "up"])?;
        host.run(&["ip", "link", "set", "lo", "up"])?;
        host.run(&["nft", "add table inet faults"])?;
        let chain = "add chain inet faults input { type filter hook input priority 0 ; }";
        host.run(&["nft", chain])?;
        Ok(host)
    }

    /// Where hosts reach the test itself.
    pub fn own_address(&self) -> String {
        self.address(254)
    }

    fn address(&self, host: u32) -> String {
        format!("10.213.{}.{host}", self.number)
    }
}

impl Host {
    /// What goes before a command that shall run on this host.
    pub fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Nothing of `other` arrives here any more; what goes there still does.
    pub fn drop_from(&self, other: &Self) {
        self.rule(&format!("ip saddr {} drop", other.address));
    }

    /// The control network is gone: TCP on the node port, both ways. UDP goes on.
    pub fn drop_control(&self) {
        self.rule("tcp dport 7443 drop");
        self.rule("tcp sport 7443 drop");
    }

    pub fn heal(&self) {
        self.run(&["nft", "flush chain inet faults input"]).expect("the rules go");
    }

    pub fn output(&self, command: &[&str], environment: (&str, &str)) -> Output {
        let prefix = self.prefix();
        let mut started = Command::new(&prefix[0]);
        started.args(&prefix[1..]).args(command).env(environment.0, environment.1);
        started.stdin(std::process::Stdio::null()).output().expect("it starts")
    }

    fn rule(&self, rule: &str) {
        let rule = format!("add rule inet faults input {rule}");
        self.run(&["nft", &rule]).expect("a rule");
    }

    fn run(&self, command: &[&str]) -> Result<(), String> {
        run("ip", &[&["netns", "exec", &self.name], command].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = run("ip", &["netns", "del", host]);
        }
        let _ = run("ip", &["link", "del", &self.bridge]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let told = |why: String| format!("{program} {}: {why}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output().map_err(|e| told(e.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(told(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
