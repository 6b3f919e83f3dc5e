//! `trireme generate`: one model in this one process, without a cluster.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Instant;

use checkpoint::{Checkpoint, Manifest};
use coordinator::text::{ChatOptions, Text};
use engine::{
    Compute, FileSource, GenerateOptions, PackedCache, PackedIdentity, PackedShard, Place, Stage,
    StageConfig, StageMemory, WeightSource, digest_of_files,
};
use protocol::ids::{Digest, TokenId};
use protocol::sampling_params::SamplingParams;
use serde_json::{Value, json};

use super::up::demo_model;
use crate::args::Generate;
use crate::error::{CliError, Exit};
use crate::output::{Output, bytes};
use crate::terminal::Progress;

/// Writes packed weights while the model answers; why they are not kept.
type Keeping = JoinHandle<Result<(), String>>;

/// Longest context unless asked for more: the KV pool is taken at once.
const CONTEXT_DEFAULT: u32 = 4096;
/// Of packed weights in a folder.
const PACKED_BYTES_MAX: u64 = 64 << 30;

pub(crate) async fn run(args: Generate, output: &Output) -> Result<(), CliError> {
    let quiet = output.quiet;
    // Arithmetic blocks: it has no place on the runtime's own threads.
    let work = tokio::task::spawn_blocking(move || generate(&args, quiet));
    let note = work.await.map_err(|e| CliError::internal(&e.to_string()))??;
    output.note(&note);
    Ok(())
}

fn generate(args: &Generate, quiet: bool) -> Result<String, CliError> {
    let mut place = Place::named(&args.device)
        .map_err(|e| CliError::usage(format!("--device is {}", args.device), e.to_string()))?;
    if args.deterministic {
        place = place.deterministic();
    }
    let folder = tempfile::tempdir().map_err(|e| CliError::internal(&e.to_string()))?;
    let path: PathBuf = match &args.model {
        Some(path) => path.clone(),
        None => demo_model::unpack(folder.path())?,
    };
    let unusable = |why: String| {
        let what = format!("cannot use the model {}", path.display());
        let next = "name a GGUF file or a Hugging Face directory with --model";
        CliError::new(Exit::Failed, what, why, next)
    };
    let checkpoint = checkpoint::open(&path).map_err(|e| unusable(e.to_string()))?;
    let text = Text::new(&checkpoint.text).map_err(|e| unusable(e.to_string()))?;
    let prompt = prompt_ids(args, &text).map_err(|e| unusable(e.to_string()))?;
    let (mut stage, keeping) = load(&place, args, &checkpoint, quiet).map_err(unusable)?;
    let options = options(args, &text);
    let (mut detokenizer, mut tokens) = (text.detokenizer(true), 0_u32);
    let begun = Instant::now();
    let mut first = None;
    let stages = std::slice::from_mut(&mut stage);
    let finished = engine::generate(stages, &prompt, &options, &mut |sampled| {
        first.get_or_insert_with(|| begun.elapsed());
        tokens += 1;
        print_piece(&detokenizer.push(sampled.token))
    });
    // Whether anybody still reads matters no more.
    let _ = print_piece(&format!("{}\n", detokenizer.finish()));
    finished.map_err(|e| {
        let next = "shorten the prompt or raise --context-length";
        CliError::new(Exit::Failed, "the model could not go on", e.to_string(), next)
    })?;
    let (total, first) = (begun.elapsed(), first.unwrap_or_default());
    // A thread that panicked has written nothing either.
    let kept = keeping.map(|thread| thread.join().unwrap_or_else(|_| Err("a panic".to_owned())));
    let not_kept = match kept {
        Some(Err(why)) => format!("\nthe packed weights are not kept: {why}"),
        _ => String::new(),
    };
    let rate = f64::from(tokens.saturating_sub(1)) / (total - first).as_secs_f64().max(1e-9);
    Ok(format!(
        "\n{} prompt tokens, first token after {:.0} ms, then {tokens} tokens at {rate:.1} tok/s{}",
        prompt.len(),
        first.as_secs_f64() * 1e3,
        not_kept
    ))
}

fn prompt_ids(args: &Generate, text: &Text) -> Result<Vec<TokenId>, coordinator::text::TextError> {
    if args.raw || !text.has_chat_template() {
        return text.encode(&args.prompt, true);
    }
    let system = args.system.iter().map(|s| json!({ "role": "system", "content": s }));
    let user = json!({ "role": "user", "content": args.prompt });
    let messages: Vec<Value> = system.chain([user]).collect();
    text.encode_chat(&messages, &ChatOptions::default())
}

fn load(
    place: &Place,
    args: &Generate,
    checkpoint: &Checkpoint,
    quiet: bool,
) -> Result<(Stage, Option<Keeping>), String> {
    let spec = &checkpoint.spec;
    let context = args.context_length.unwrap_or(CONTEXT_DEFAULT).min(spec.context_length);
    let config = StageConfig::whole_model(spec, context, args.kv.resolve());
    // No digests: the files are this user's own, and are read where they are.
    let manifest = Manifest {
        name: checkpoint.name.clone(),
        spec: spec.clone(),
        files: Vec::new(),
        tensors: checkpoint.tensors.clone(),
        chunks: Vec::new(),
        text: checkpoint.text.digest().map_err(|e| e.to_string())?,
    };
    let packed = args.packed_cache.as_deref().filter(|_| matches!(place, Place::Cpu(_)));
    let packed = packed.map(|folder| Packed::open(folder, &manifest, checkpoint, &config));
    let packed = packed.transpose()?;
    let source = FileSource::open(&checkpoint.files).map_err(|e| e.to_string())?;
    let needed = StageMemory::estimate_at(place, &manifest, &config).map_err(|e| e.to_string())?;
    let place = match place {
        Place::Cpu(_) => Place::Cpu(Compute::for_stage(needed.total())),
        #[allow(unreachable_patterns, reason = "a build without devices has no other place")]
        device => device.clone(),
    };
    let mut progress = Progress::new("load", quiet);
    let mut report = |done| progress.update(done, needed.weights, &bytes::human(needed.weights));
    let over = packed.as_ref().map(|packed| packed.shard.over(&source));
    let from: &dyn WeightSource = over.as_ref().map_or(&source, |over| over);
    let stage = Stage::load_at(&place, &manifest, from, &config, &mut report);
    progress.finish();
    let stage = stage.map_err(|e| e.to_string())?;
    let keeping = packed.and_then(|packed| packed.keep(&manifest, checkpoint));
    Ok((stage, keeping))
}

/// The model's packed weights, found or to be kept.
struct Packed {
    shard: PackedShard,
    /// Of the files before they were read.
    source: Digest,
}

impl Packed {
    fn open(
        folder: &Path,
        manifest: &Manifest,
        checkpoint: &Checkpoint,
        config: &StageConfig,
    ) -> Result<Self, String> {
        let cache =
            PackedCache::open(folder, PACKED_BYTES_MAX).map_err(|error| error.to_string())?;
        let source = digest_of_files(manifest, &checkpoint.files).map_err(|e| e.to_string())?;
        let identity = PackedIdentity { source, layers: config.layers, share: config.share };
        let shard = cache.shard(identity, Compute::of_process().threads());
        Ok(Self { shard, source })
    }

    /// Writes them while the model answers, unless its files were changed while they were read.
    fn keep(self, manifest: &Manifest, checkpoint: &Checkpoint) -> Option<Keeping> {
        let unchanged =
            digest_of_files(manifest, &checkpoint.files).is_ok_and(|source| source == self.source);
        if self.shard.is_found() || !unchanged {
            return None;
        }
        let keep = move || self.shard.keep().map_err(|error| error.to_string());
        std::thread::Builder::new().name("packed-weights".to_owned()).spawn(keep).ok()
    }
}

fn options(args: &Generate, text: &Text) -> GenerateOptions {
    let sampling = SamplingParams {
        temperature: args.temperature,
        top_p: args.top_p,
        top_k: args.top_k,
        stop_tokens: text.eos_ids().to_vec(),
        ..SamplingParams::default()
    };
    GenerateOptions {
        sampling,
        choice_seed: args.seed.unwrap_or_else(rand::random),
        tokens_max: args.max_tokens,
        ..GenerateOptions::default()
    }
}

/// Breaks off when nobody reads any more.
fn print_piece(text: &str) -> ControlFlow<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}
