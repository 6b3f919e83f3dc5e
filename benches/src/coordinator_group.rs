//! Coordinators as processes of their own, and what each takes of the machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coordinator::InitOptions;
use protocol::control::{CoordinatorAddress, CoordinatorEndpoint, Role};
use serde_json::{Value, json};
use worker::join::{JoinOptions, join};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub const COORDINATORS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// The coordinators, each a process of its own.
pub struct Group {
    http: reqwest::Client,
    pub members: Vec<Member>,
    leader: usize,
}

pub struct Member {
    child: Child,
    api: String,
    pub address: CoordinatorAddress,
}

impl Group {
    pub async fn start(folder: &Path, command: impl Fn(&Path) -> Command) -> Result<Self> {
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        let mut group = Self { http, members: Vec::new(), leader: 0 };
        for number in 0..COORDINATORS {
            let data_dir = folder.join(format!("c{number}"));
            let (address, api_address) = (free_address()?, free_address()?);
            let name = format!("c{number}");
            let node = if number == 0 {
                let (data_dir, cluster) = (data_dir.clone(), "bench".to_owned());
                let (address, api_address) = (address.clone(), api_address.clone());
                let founding = InitOptions { data_dir, cluster, name, address, api_address };
                coordinator::init(founding).await?.node
            } else {
                let endpoint = CoordinatorEndpoint::new(address.clone(), api_address.clone());
                let token = group.token("coordinator", 1).await?;
                let joining = JoinOptions {
                    data_dir: data_dir.clone(),
                    token,
                    name,
                    role: Role::Coordinator,
                    coordinator: Some(endpoint),
                    anew: false,
                };
                join(joining).await?.peer.node
            };
            let child = command(&data_dir).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
            let api = format!("http://{api_address}");
            let address = CoordinatorAddress { node, address, api_address };
            group.members.push(Member { child, api, address });
            group.wait_for("a quorum", |s| s["hasQuorum"] == true).await?;
        }
        let all = |s: &Value| s["coordinators"].as_array().map(Vec::len) == Some(COORDINATORS);
        group.wait_for("all of them", all).await?;
        Ok(group)
    }

    pub fn apis(&self) -> Vec<String> {
        self.members.iter().map(|m| m.api.clone()).collect()
    }

    async fn status(&self, member: usize) -> Result<Value> {
        let url = format!("{}/admin/v1/cluster", self.members[member].api);
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// As the coordinator that came last says.
    pub async fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.status(self.members.len() - 1).await {
                Ok(status) if holds(&status) => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Err(format!("waited in vain for {what}").into())
    }

    pub async fn token(&self, role: &str, uses: usize) -> Result<String> {
        let body = json!({ "role": role, "ttlSeconds": 3600, "uses": uses });
        let url = format!("{}/admin/v1/join-tokens", self.members[0].api);
        let answer = self.http.post(url).json(&body).send().await?.error_for_status()?;
        let made: Value = answer.json().await?;
        Ok(made["token"].as_str().ok_or("no token")?.to_owned())
    }

    async fn find_leader(&mut self) -> Result<usize> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            for member in 0..self.members.len() {
                let Ok(status) = self.status(member).await else { continue };
                if status["leader"] == status["thisNode"] && status["hasQuorum"] == true {
                    self.leader = member;
                    return Ok(member);
                }
            }
        }
        Err("nobody leads".into())
    }

    pub async fn kill_leader(&mut self) -> Result<usize> {
        let leader = self.find_leader().await?;
        self.members[leader].child.kill()?;
        self.members[leader].child.wait()?;
        Ok(leader)
    }

    pub async fn wait_for_another(&mut self, gone: usize) -> Result<()> {
        while self.find_leader().await? == gone {}
        Ok(())
    }

    pub async fn ready(&self) -> Result<Value> {
        Ok(self.status(self.leader).await?["nodesReady"].take())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// Share of one core and memory of each coordinator.
pub struct Usage {
    cores: Vec<f64>,
    leader: usize,
}

impl Usage {
    pub async fn over(group: &Group, time: Duration) -> Result<Self> {
        let status = group.status(0).await?;
        let leads = |m: &Member| status["leader"] == m.address.node.to_string();
        let leader = group.members.iter().position(leads).ok_or("nobody leads")?;
        let all =
            || group.members.iter().map(|m| cpu_seconds(&m.child)).collect::<Result<Vec<_>>>();
        let before = all()?;
        tokio::time::sleep(time).await;
        let after = all()?;
        let used = after.iter().zip(&before).map(|(a, b)| (a - b) / time.as_secs_f64());
        Ok(Self { cores: used.collect(), leader })
    }

    /// A line for each coordinator.
    pub fn lines(&self, group: &Group) -> String {
        let each = group.members.iter().zip(&self.cores).enumerate();
        let line = |(number, (member, cores)): (usize, (&Member, &f64))| {
            let part = if number == self.leader { "leader  " } else { "follower" };
            let memory = resident_mib(&member.child).unwrap_or(0);
            format!("  {part} {:.0} % of a core, {memory} MiB resident", cores * 100.0)
        };
        each.map(line).collect::<Vec<_>>().join("\n")
    }
}

/// User and system time so far.
fn cpu_seconds(child: &Child) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let fields = stat.rsplit_once(')').ok_or("no command name")?.1;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|t| t.parse::<f64>().ok());
    // Fields 14 and 15 of the line; a tick is 10 ms on Linux.
    Ok((ticks(11).ok_or("no user time")? + ticks(12).ok_or("no system time")?) / 100.0)
}

fn resident_mib(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn free_address() -> Result<String> {
    let tcp = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(tcp.local_addr()?.to_string())
}
