//! What a plan shall promise.

use protocol::model_spec::{KvType, ModelSpec};
use protocol::plan::{ActivationType, Plan, StagePlan};

use crate::error::PlanError;

/// How many pipeline stages a plan may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StageCount {
    /// As many as are fastest.
    #[default]
    Fastest,
    Exactly(u32),
    /// The possible count that is closest to this one, of two the lower: what keeps a service up.
    Near(u32),
}

/// How many ranks each stage may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Degrees {
    /// As many as are fastest, where exchanges were measured.
    #[default]
    Choose,
    One,
    /// Of each stage, in order; there are as many stages.
    Each(Vec<u32>),
}

impl Degrees {
    /// The ranks that the stage behind `devices` used ones must have; none: any number.
    pub(crate) fn after(&self, devices: usize) -> Option<usize> {
        match self {
            Self::Choose => None,
            Self::One => Some(1),
            Self::Each(degrees) => {
                let mut used = 0;
                for degree in degrees.iter().map(|degree| *degree as usize) {
                    if used == devices {
                        return Some(degree);
                    }
                    used += degree;
                }
                // Behind the last stage nothing may come.
                Some(0)
            }
        }
    }

    /// Whether a chain that uses `devices` may end there.
    pub(crate) fn complete(&self, devices: usize) -> bool {
        !matches!(self, Self::Each(_)) || self.after(devices) == Some(0)
    }

    /// Sizes of groups, two and more, out of `devices`.
    pub(crate) fn sizes(&self, devices: usize) -> Vec<usize> {
        match self {
            Self::Choose => (2..=devices).collect(),
            Self::One => Vec::new(),
            Self::Each(degrees) => {
                let mut sizes: Vec<_> = degrees.iter().map(|degree| *degree as usize).collect();
                sizes.retain(|size| (2..=devices).contains(size));
                sizes.sort_unstable();
                sizes.dedup();
                sizes
            }
        }
    }
}

/// Resolved wishes of a deployment; the plan's KV pool holds at least one sequence of
/// `context_length` tokens and at most `sequences_max` of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    pub context_length: u32,
    pub sequences_max: u32,
    pub step_tokens_max: u32,
    pub block_size: u32,
    pub kv_type: KvType,
    pub activation: ActivationType,
    pub stages: StageCount,
    pub degrees: Degrees,
    /// Shares that groups must have, of as many ranks each: those of an earlier plan, whose bits
    /// shall not change. Empty: as the devices' speed or memory suggests.
    pub shares: Vec<Vec<u32>>,
    /// Upper bound of the KV pool's bytes on one device.
    pub kv_bytes_max: Option<u64>,
    /// Prompt length that the predicted time to first token is for.
    pub prompt_tokens: u32,
}

/// Of one stage.
const RANKS_MAX: u32 = 64;

impl Objective {
    /// Longest context that is promised unless asked for more: KV memory grows with it.
    pub const CONTEXT_DEFAULT: u32 = 8192;

    /// Defaults for `spec`: its own context up to 8,192 tokens, 16 sequences, f16 KV.
    pub fn for_model(spec: &ModelSpec) -> Self {
        Self {
            context_length: spec.context_length.min(Self::CONTEXT_DEFAULT),
            sequences_max: 16,
            step_tokens_max: 256,
            block_size: 16,
            kv_type: KvType::F16,
            activation: ActivationType::F32,
            stages: StageCount::Fastest,
            degrees: Degrees::Choose,
            shares: Vec::new(),
            kv_bytes_max: None,
            prompt_tokens: 512,
        }
    }

    /// The same promise in the shape of `plan`: as many stages, of the same shares.
    pub fn in_shape_of(&self, plan: &Plan) -> Self {
        let units = |stage: &StagePlan| stage.ranks.iter().map(|rank| rank.share.units).collect();
        let shares: Vec<Vec<u32>> = plan.stages().iter().map(units).collect();
        Self {
            stages: StageCount::Exactly(shares.len() as u32),
            degrees: Degrees::Each(shares.iter().map(|ranks| ranks.len() as u32).collect()),
            shares,
            ..self.clone()
        }
    }

    pub(crate) fn check(&self, spec: &ModelSpec) -> Result<(), PlanError> {
        let check = |name: &'static str, value: u32, most: u32| {
            let ok = (1..=most).contains(&value);
            if ok { Ok(()) } else { Err(PlanError::BadOption { name, value, most }) }
        };
        if !spec.can_keep(self.kv_type) {
            return Err(PlanError::KvType { block: self.kv_type.block() });
        }
        check("context_length", self.context_length, spec.context_length)?;
        check("sequences_max", self.sequences_max, 1024)?;
        check("step_tokens_max", self.step_tokens_max, 4096)?;
        check("block_size", self.block_size, 256)?;
        if let Degrees::Each(degrees) = &self.degrees {
            degrees.iter().try_for_each(|ranks| check("tp", *ranks, RANKS_MAX))?;
        }
        if let (StageCount::Exactly(stages), Degrees::Each(degrees)) = (self.stages, &self.degrees)
            && stages as usize != degrees.len()
        {
            return Err(PlanError::Degrees { stages, degrees: degrees.len() as u32 });
        }
        match self.stages {
            StageCount::Fastest => Ok(()),
            StageCount::Exactly(stages) | StageCount::Near(stages) => {
                check("stages", stages, spec.layer_count())
            }
        }
    }

    pub(crate) fn blocks_per_sequence(&self) -> u32 {
        self.context_length.div_ceil(self.block_size)
    }
}
