//! Random histories: a state that went through a snapshot is the same, byte by byte, and stays so.

use protocol::admin::{KeyRole, UpdateKey};
use protocol::node_profile::LinkProfile;

use super::*;
use crate::state::{KeyChange, UsageDelta};

const HISTORIES: u64 = 60;
const STEPS: u64 = 150;

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % most
    }

    fn float(&mut self) -> f64 {
        (1 + self.below(1 << 30)) as f64 / 7.0
    }

    fn change(&mut self, state: &State) -> Change {
        let id = self.below(5) as u8;
        let (who, name) = (node(id), format!("n{id}"));
        let model = format!("m{}", self.below(3));
        let operation = format!("op{}", self.below(40));
        let deployment = state.deployments.get(&model);
        let replica = deployment.map_or(ReplicaId(9), |d| d.replica);
        let epoch = deployment.and_then(|d| d.epoch());
        let key = format!("k{}", self.below(4));
        match self.below(16) {
            0 => admit(id, &name, if id == 4 { Role::Coordinator } else { Role::Worker }, None),
            1 => {
                let mut profile = profile(1 << 30);
                profile.devices[0].memory_bandwidth = self.float() * 1e3;
                let (data_addresses, held_manifests) = (vec![name], vec![Digest::of(b"m0")]);
                let profile = Box::new(profile);
                Change::RecordRegistration { node: who, profile, data_addresses, held_manifests }
            }
            2 => {
                let link = LinkProfile::new(self.float() * 1e-12, self.float() * 10.0);
                Change::RecordLink { from: who, to: node(self.below(5) as u8), link }
            }
            3 => Change::RemoveNode { node: who, operation },
            4 => {
                let (manifest, summary) = (Digest::of(model.as_bytes()), Box::new(model_summary()));
                Change::AddModel { name: model, manifest, summary, holder: who }
            }
            5 | 6 => deploy(&model, &operation),
            7 => Change::Undeploy { model, operation },
            8 | 9 => Change::PlacePlan { replica, expected: epoch, plan: Box::new(plan_on(&[id])) },
            10 => Change::SetRollout {
                replica,
                epoch,
                state: DeploymentState::Ready,
                reason: String::new(),
                missing_bytes: self.below(100),
            },
            11 => Change::AddJoinToken {
                hash: Digest::of(name.as_bytes()),
                role: Role::Worker,
                ttl_seconds: self.below(100),
                uses: self.below(3) as u32,
            },
            12 => {
                let role = KeyRole::ALL[self.below(5) as usize];
                let (hash, prefix) = (Digest::of(key.as_bytes()), "sk".into());
                let expires_in_seconds = Some(self.below(1000));
                let (name, limits) = (key, Default::default());
                let create =
                    KeyChange::Create { name, role, hash, prefix, limits, expires_in_seconds };
                Change::Key(create)
            }
            13 => {
                let tokens_per_month = Some(self.below(1000));
                let update = UpdateKey { tokens_per_month, ..UpdateKey::default() };
                Change::Key(KeyChange::Update { name: key, update })
            }
            14 => Change::Key(KeyChange::Revoke { name: key }),
            _ => {
                let delta = UsageDelta { requests: 1, prompt_tokens: 3, completion_tokens: 4 };
                let totals = [(key, delta)].into();
                Change::Key(KeyChange::RecordUsage { node: who, batch: self.below(30), totals })
            }
        }
    }

    fn command(&mut self, state: &State) -> Command {
        let at = Timestamp(1_700_000_000_000 + self.below(90_000_000));
        let actor = match self.below(3) {
            0 => Actor::Local,
            1 => Actor::Key { name: "ops".into(), role: KeyRole::Admin },
            _ => Actor::System,
        };
        let request = if self.below(3) == 0 { format!("r{}", self.below(20)) } else { "".into() };
        Command { actor, request, ..Command::new(at, self.change(state)) }
    }
}

fn bytes(state: &State) -> Vec<u8> {
    serde_json::to_vec(state).expect("writes")
}

#[test]
fn a_state_from_a_snapshot_goes_on_as_if_there_had_been_none() {
    let mut applied = 0;
    for seed in 0..HISTORIES {
        let mut random = Random(seed);
        let mut live = State::default();
        let mut restored = State::default();
        for index in 1..=STEPS {
            let command = random.command(&live);
            // The other replica reads the command from the log, and its state from a snapshot.
            let read = serde_json::to_vec(&command).expect("writes");
            let read: Command = serde_json::from_slice(&read).expect("reads");
            assert_eq!(read, command, "seed {seed}, entry {index}");
            let outcome = live.apply(command, index);
            applied += u64::from(!matches!(outcome, Outcome::Refused(_)));
            assert_eq!(restored.apply(read, index), outcome, "seed {seed}, entry {index}");
            if random.below(8) == 0 {
                let snapshot = bytes(&restored);
                restored = State::from_snapshot(&snapshot).expect("reads");
                assert_eq!(bytes(&restored), snapshot, "seed {seed}, entry {index}");
            }
        }
        assert_eq!(restored, live, "seed {seed}");
        assert_eq!(bytes(&restored), bytes(&live), "seed {seed}");
    }
    assert!(applied > HISTORIES * STEPS / 4, "only {applied} commands did something");
}
