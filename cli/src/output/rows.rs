//! The columns of each thing that is listed.

use protocol::admin::*;
use protocol::node_profile::{DeviceKind, DeviceProfile};

use super::Row;
use super::bytes::human;
use crate::commands::context::ContextView;
use crate::commands::plan::PlannedRow;
use crate::commands::version::NodeVersion;
use crate::config::OptionView;

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|i| i.to_string()).collect();
    dash(items.join(","))
}

/// Its name; a GPU with CUDA's number before it.
fn device(device: &DeviceProfile) -> String {
    match device.kind {
        DeviceKind::Cpu => device.name.clone(),
        DeviceKind::Cuda => format!("{} {}", device.label(), device.name),
    }
}

impl Row for NodeView {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["NAME", "ROLES", "STATE", "DEVICE", "MEM USED/USABLE", "SHARDS"];
        if wide {
            columns.extend(["SINCE", "REASON", "NEXT", "ID"]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let devices = self.profile.iter().flat_map(|p| &p.devices);
        let usable: u64 = devices.clone().map(|d| d.memory_usable_bytes).sum();
        let memory = match self.profile {
            Some(_) => format!("{} / {}", human(self.memory_used_bytes), human(usable)),
            None => "-".to_owned(),
        };
        let mut cells = vec![
            self.name.clone(),
            joined(self.roles.iter().map(|r| r.name())),
            format!("{:?}", self.state).to_lowercase(),
            joined(devices.map(device)),
            memory,
            joined(self.shards.iter().map(|s| format!("{}#{} {}", s.model, s.epoch, s.layers))),
        ];
        if wide {
            let (reason, next) = (dash(self.reason.clone()), dash(self.next.clone()));
            cells.extend([self.since.clone(), reason, next, self.id.short()]);
        }
        cells
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for CoordinatorView {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["NAME", "PART", "BEHIND", "ADDRESS", "API", "REASON"];
        if wide {
            columns.push("ID");
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let behind = self.entries_behind.map(|entries| entries.to_string());
        let mut cells = vec![
            self.name.clone(),
            self.part.name().to_owned(),
            dash(behind.unwrap_or_default()),
            dash(self.address.clone()),
            dash(self.api_address.clone()),
            dash(self.reason.clone()),
        ];
        if wide {
            cells.push(self.id.short());
        }
        cells
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for ModelView {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns =
            vec!["NAME", "ARCHITECTURE", "TYPE", "SIZE", "LAYERS", "CONTEXT", "HOLDERS", "STATE"];
        if wide {
            columns.extend(["PLACEMENT", "REASON", "MANIFEST"]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let deployment = self.deployment.as_ref();
        let state = deployment.map(|d| format!("{:?}", d.state).to_lowercase());
        let mut cells = vec![
            self.name.clone(),
            self.spec.architecture.to_string(),
            self.spec.weight_label.clone(),
            human(self.weight_bytes),
            self.spec.layer_count().to_string(),
            self.spec.context_length.to_string(),
            joined(&self.holders),
            dash(state.unwrap_or_default()),
        ];
        if wide {
            let stages = deployment.iter().flat_map(|d| &d.stages);
            cells.push(joined(stages.map(|s| format!("{} {}", s.name, s.layers))));
            cells.push(dash(deployment.map(|d| d.reason.clone()).unwrap_or_default()));
            cells.push(self.manifest.short());
        }
        cells
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for PlannedRow {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec![
            "NODE", "DEVICE", "LAYERS", "SHARE", "WEIGHTS", "KV", "FREE", "TIME/TOK", "NEXT HOP",
        ];
        if wide {
            columns.push("WORKSPACE");
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let millis = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
        let (time, hop) = match self.seconds {
            Some((time, hop)) => (millis(time), millis(hop)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let rank = &self.rank;
        let share = rank.share;
        let mut cells = vec![
            rank.name.clone(),
            rank.device_name.clone(),
            self.layers.to_string(),
            if share.units == share.of {
                "all".to_owned()
            } else {
                format!("{}/{}", share.units, share.of)
            },
            human(rank.weight_bytes),
            human(rank.kv_bytes),
            human(rank.free_bytes),
            time,
            hop,
        ];
        if wide {
            cells.push(human(rank.workspace_bytes));
        }
        cells
    }

    fn name(&self) -> String {
        self.rank.name.clone()
    }
}

impl Row for KeyView {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["NAME", "ROLE", "PREFIX", "CREATED", "EXPIRES", "TOKENS/MONTH"];
        if wide {
            columns.extend(["MODELS", "RPM", "TPM", "BUDGET", "REQUESTS"]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let limit = |limit: Option<u64>| limit.map_or("-".to_owned(), |n| n.to_string());
        let mut cells = vec![
            self.name.clone(),
            self.role.name().to_owned(),
            format!("{}...", self.prefix),
            self.created_at.clone(),
            self.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            self.usage.tokens_this_month.to_string(),
        ];
        if wide {
            let limits = &self.limits;
            cells.push(if limits.models.is_empty() {
                "all".into()
            } else {
                joined(&limits.models)
            });
            cells.extend([limits.requests_per_minute, limits.tokens_per_minute].map(limit));
            cells.push(limit(limits.tokens_per_month));
            cells.push(self.usage.requests.to_string());
        }
        cells
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for JoinTokenView {
    fn columns(_wide: bool) -> Vec<&'static str> {
        vec!["ID", "ROLE", "STATE", "USES LEFT", "EXPIRES"]
    }

    fn cells(&self, _wide: bool) -> Vec<String> {
        vec![
            self.id.clone(),
            self.role.name().to_owned(),
            self.state.clone(),
            self.uses_left.to_string(),
            self.expires_at.clone(),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

impl Row for SettingView {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["KEY", "VALUE", "DEFAULT", "DESCRIPTION"];
        if wide {
            columns.extend(["SET", "RANGE"]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let [value, default] = [self.value, self.default].map(|seconds| seconds.to_string());
        let mut cells = vec![self.name.clone(), value, default, self.description.clone()];
        if wide {
            let is_set = if self.is_set { "yes" } else { "no" };
            cells.extend([is_set.to_owned(), format!("{} to {}", self.min, self.max)]);
        }
        cells
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for AuditRecord {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["NUMBER", "WHEN", "WHO", "WHAT", "ABOUT"];
        if wide {
            columns.extend(["ROLE", "INDEX", "HASH"]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mut cells = vec![
            self.sequence.to_string(),
            self.at.clone(),
            self.actor.clone(),
            self.action.clone(),
            dash(self.subject.clone()),
        ];
        if wide {
            cells.extend([self.role.clone(), self.index.to_string(), self.hash.short()]);
        }
        cells
    }

    fn name(&self) -> String {
        self.sequence.to_string()
    }
}

impl Row for OperationView {
    fn columns(_wide: bool) -> Vec<&'static str> {
        vec!["OPERATION", "KIND", "SUBJECT", "STATE", "NOTE"]
    }

    fn cells(&self, _wide: bool) -> Vec<String> {
        let state = format!("{:?}", self.state).to_lowercase();
        let note = dash(self.note.clone());
        vec![self.id.clone(), self.kind.clone(), self.subject.clone(), state, note]
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

impl Row for ContextView {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["CURRENT", "NAME", "API"];
        if wide {
            columns.extend(["KEY", "CA"]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mark = |set: bool, mark: &str| dash(if set { mark } else { "" }.to_owned());
        let current = if self.current { "*" } else { "" };
        let mut cells = vec![current.to_owned(), self.name.clone(), self.api.clone()];
        if wide {
            cells.extend([mark(self.has_key, "saved"), mark(self.has_ca, "saved")]);
        }
        cells
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for OptionView {
    fn columns(_wide: bool) -> Vec<&'static str> {
        vec!["OPTION", "VALUE", "ORIGIN", "FROM"]
    }

    fn cells(&self, _wide: bool) -> Vec<String> {
        let origin = format!("{:?}", self.origin).to_lowercase();
        let value = dash(self.value.clone().unwrap_or_default());
        vec![self.name.clone(), value, origin, dash(self.source.clone())]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for NodeVersion {
    fn columns(_wide: bool) -> Vec<&'static str> {
        vec!["NAME", "ROLES", "STATE", "VERSION"]
    }

    fn cells(&self, _wide: bool) -> Vec<String> {
        let state = format!("{:?}", self.state).to_lowercase();
        vec![self.name.clone(), joined(&self.roles), state, dash(self.version.clone())]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}
