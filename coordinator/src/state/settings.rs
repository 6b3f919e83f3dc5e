//! Settings of the whole cluster: each coordinator obeys them from the entry on that changed them.
//!
//! A new one is a new variant, with its facts; who obeys it reads `State::settings`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use protocol::identity::ca::NODE_VALIDITY;
use serde::{Deserialize, Serialize};

use super::State;
use super::outcome::{Outcome, Refusal, RefusalCode};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    FailureTimeout,
    FlapMemory,
    CertificateValidity,
    JoinTokenTtl,
    DrainTimeout,
}

/// What there is to know of a setting.
#[derive(Clone, Copy, Debug)]
pub struct SettingFacts {
    pub name: &'static str,
    pub description: &'static str,
    pub default: Duration,
    pub min: Duration,
    pub max: Duration,
    /// Values are multiples of it.
    pub step: Duration,
}

/// What was set, in milliseconds: floats do not go through JSON unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings {
    set: BTreeMap<Setting, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsChange {
    /// Milliseconds; `None` takes the default again. All of them or, where one is refused, none.
    Set { values: BTreeMap<Setting, Option<u64>> },
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
const TENTH: Duration = Duration::from_millis(100);

impl Setting {
    pub const ALL: [Self; 5] = [
        Self::FailureTimeout,
        Self::FlapMemory,
        Self::CertificateValidity,
        Self::JoinTokenTtl,
        Self::DrainTimeout,
    ];

    pub const fn facts(self) -> SettingFacts {
        match self {
            Self::FailureTimeout => SettingFacts {
                name: "failure_timeout",
                description: "Seconds of silence after which a worker is lost",
                default: SECOND,
                // Three heartbeats.
                min: Duration::from_millis(600),
                max: MINUTE,
                step: TENTH,
            },
            Self::FlapMemory => SettingFacts {
                name: "flap_memory",
                description: "Seconds after which the earlier losses of a worker are forgotten",
                default: Duration::from_secs(600),
                min: SECOND,
                max: DAY,
                step: SECOND,
            },
            Self::CertificateValidity => SettingFacts {
                name: "certificate_validity",
                description: "Seconds that certificates of nodes signed from now on are valid",
                default: NODE_VALIDITY,
                min: Duration::from_secs(3600),
                max: DAY.saturating_mul(3650),
                step: SECOND,
            },
            Self::JoinTokenTtl => SettingFacts {
                name: "join_token_ttl",
                description: "Seconds that a join token lives, where its maker says nothing else",
                default: Duration::from_secs(3600),
                min: MINUTE,
                max: DAY.saturating_mul(30),
                step: SECOND,
            },
            Self::DrainTimeout => SettingFacts {
                name: "drain_timeout",
                description: "Seconds that a drain may take, where nothing else is asked for",
                default: Duration::from_secs(600),
                min: SECOND,
                max: DAY,
                step: SECOND,
            },
        }
    }

    /// The setting called `name` with `seconds` in milliseconds, as a change has it.
    pub fn read(name: &str, seconds: Option<f64>) -> Result<(Self, Option<u64>), Refusal> {
        let found = Self::ALL.into_iter().find(|setting| setting.facts().name == name);
        let setting = found.ok_or_else(|| {
            let known = Self::ALL.map(|setting| setting.facts().name).join(", ");
            let message = format!("there is no setting `{name}`");
            Refusal::new(RefusalCode::InvalidValue, message, format!("settings are: {known}"))
        })?;
        let Some(seconds) = seconds else { return Ok((setting, None)) };
        let milliseconds = (seconds * 1e3).round();
        // Beyond this range floats have no whole numbers for it.
        if !(0.0..=1e15).contains(&milliseconds) {
            return Err(setting.refusal(seconds));
        }
        setting.check(milliseconds as u64)?;
        Ok((setting, Some(milliseconds as u64)))
    }

    fn check(self, milliseconds: u64) -> Result<(), Refusal> {
        let SettingFacts { min, max, step, .. } = self.facts();
        let value = Duration::from_millis(milliseconds);
        let is_step = u128::from(milliseconds).is_multiple_of(step.as_millis());
        match (min..=max).contains(&value) && is_step {
            true => Ok(()),
            false => Err(self.refusal(value.as_secs_f64())),
        }
    }

    fn refusal(self, seconds: f64) -> Refusal {
        let SettingFacts { name, min, max, step, .. } = self.facts();
        let [min, max, step] = [min, max, step].map(|limit| limit.as_secs_f64());
        let message =
            format!("{name} is {seconds} s, expected {min} to {max} s in steps of {step} s");
        let hint = "see each with its default: trireme cluster config get";
        Refusal::new(RefusalCode::InvalidValue, message, hint)
    }
}

impl Settings {
    /// What was set, if it was.
    pub fn set(&self, setting: Setting) -> Option<Duration> {
        self.set.get(&setting).copied().map(Duration::from_millis)
    }

    /// What is in force.
    pub fn value(&self, setting: Setting) -> Duration {
        self.set(setting).unwrap_or(setting.facts().default)
    }
}

impl SettingsChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set-settings",
        }
    }
}

impl fmt::Display for SettingsChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Set { values } = self;
        for (number, (setting, value)) in values.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            write!(f, "{separator}{}=", setting.facts().name)?;
            match value {
                Some(value) => write!(f, "{} s", Duration::from_millis(*value).as_secs_f64())?,
                None => f.write_str("default")?,
            }
        }
        Ok(())
    }
}

impl State {
    pub(super) fn change_settings(&mut self, change: SettingsChange) -> Result<Outcome, Refusal> {
        let SettingsChange::Set { values } = change;
        for (setting, value) in &values {
            value.map_or(Ok(()), |value| setting.check(value))?;
        }
        for (setting, value) in values {
            match value {
                Some(value) => self.settings.set.insert(setting, value),
                None => self.settings.set.remove(&setting),
            };
        }
        Ok(Outcome::Done)
    }
}
