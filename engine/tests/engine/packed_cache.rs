//! Weights that come packed from a file give the bits that they give when they are packed, and a
//! file that is not as it was written is never used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::{
    FileSource, PackedCache, PackedIdentity, Stage, StageConfig, StageInput, WeightSource,
    WeightType, digest_of_files,
};
use protocol::ids::{BlockId, Digest};
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::{ActivationType, Share};

use crate::golden_logits::fixture;
use crate::random_model::{RandomModel, random_model};
use crate::running::{batch, config, prompt, rows_in};
use crate::small_specs::small_spec;

const LIMIT: u64 = 1 << 30;

fn model() -> RandomModel {
    random_model(small_spec(Architecture::Llama, false), WeightType::Q4K, 21)
}

fn whole(model: &RandomModel) -> StageConfig {
    config(model.manifest.spec.all_layers(), KvType::F16, ActivationType::F32)
}

fn identity(config: &StageConfig, source: &[u8]) -> PackedIdentity {
    let source = Digest::of(source);
    PackedIdentity { source, layers: config.layers, share: config.share }
}

/// The bits of a prompt's logits.
fn logits(
    manifest: &checkpoint::Manifest,
    source: &dyn WeightSource,
    config: &StageConfig,
) -> Vec<u32> {
    let mut stage = Stage::load(manifest, source, config, &mut |_| {}).expect("the stage loads");
    bits(&mut stage, manifest.spec.vocab_size)
}

fn bits(stage: &mut Stage, vocabulary: u32) -> Vec<u32> {
    let ids = prompt(8, 9, vocabulary);
    let table: Vec<_> = (0..4).map(BlockId).collect();
    let rows = rows_in(0, 0, &ids, table);
    let found = stage.logits(&batch(vec![rows]), StageInput::Tokens).expect("the step runs");
    found.concat().into_iter().map(f32::to_bits).collect()
}

/// Loads through the cache; the logits, and whether the weights came packed.
fn cached(cache: &PackedCache, model: &RandomModel, identity: PackedIdentity) -> (Vec<u32>, bool) {
    let shard = cache.shard(identity, 2);
    let found = shard.is_found();
    let config = whole(model);
    let source = shard.over(model);
    let stage = Stage::load(&model.manifest, &source, &config, &mut |_| {});
    let mut stage = stage.expect("the stage loads");
    let bits = bits(&mut stage, model.manifest.spec.vocab_size);
    shard.keep().expect("it is kept");
    (bits, found)
}

/// The one file of a folder.
fn only_file(folder: &Path) -> PathBuf {
    let mut files =
        fs::read_dir(folder).expect("it reads").map(|file| file.expect("a file").path());
    let file = files.next().expect("a file");
    assert_eq!(files.next(), None, "one file");
    file
}

#[test]
fn every_type_comes_back_with_the_same_bits_and_memory() {
    for weight in WeightType::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let model = random_model(small_spec(Architecture::Mixtral, false), weight, 31);
        let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
        let config = whole(&model);
        let identity = identity(&config, b"a model");
        let plain = logits(&model.manifest, &model, &config);
        assert_eq!(cached(&cache, &model, identity), (plain.clone(), false), "{weight}");
        assert_eq!(cached(&cache, &model, identity), (plain, true), "{weight}");
    }
}

#[test]
fn shares_tied_matrices_and_columns_in_an_order_of_their_own_come_back_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
    let model = random_model(small_spec(Architecture::Qwen3, true), WeightType::Q8_0, 5);
    for start in 0..2 {
        let share = Share { start, units: 1, of: 2 };
        let config = StageConfig { share, ..whole(&model) };
        let memory = |found: bool| {
            let shard = cache.shard(identity(&config, b"tied"), 1);
            assert_eq!(shard.is_found(), found);
            let stage = Stage::load(&model.manifest, &shard.over(&model), &config, &mut |_| {});
            let stage = stage.expect("the share loads");
            shard.keep().expect("it is kept");
            stage.memory()
        };
        assert_eq!(memory(false), memory(true));
    }
    let folder = checkpoint::open(&fixture("qwen2-gptq")).expect("the folder opens");
    let source = FileSource::open(&folder.files).expect("the files open");
    let manifest = checkpoint::Manifest::build(&folder, &mut |_, _| {}).expect("built");
    let config = StageConfig::whole_model(&manifest.spec, 64, KvType::F16);
    let plain = logits(&manifest, &source, &config);
    for found in [false, true] {
        let shard = cache.shard(identity(&config, b"gptq"), 2);
        assert_eq!(shard.is_found(), found);
        let stage = Stage::load(&manifest, &shard.over(&source), &config, &mut |_| {});
        let mut stage = stage.expect("it loads");
        assert!(bits(&mut stage, manifest.spec.vocab_size) == plain);
        shard.keep().expect("it is kept");
    }
}

#[test]
fn every_damage_is_told_and_the_file_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
    let model = model();
    let identity = identity(&whole(&model), b"a model");
    let (plain, _) = cached(&cache, &model, identity);
    let path = only_file(folder.path());
    let good = fs::read(&path).expect("it reads");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).expect("written");
        let shard = cache.shard(identity, 2);
        assert!(!shard.is_found(), "{what}");
        let error = shard.refused().expect("it is told").to_string();
        assert!(error.contains(".panels"), "{what}: {error}");
        assert!(!path.exists(), "{what}: it is removed");
    };
    for kept in [0, 1, 8, 100, 143, 144, 4096, good.len() / 2, good.len() - 1] {
        refused(&good[..kept], &format!("{kept} bytes of it"));
    }
    refused(&[&good[..], b"x"].concat(), "a byte too many");
    // Each byte of the header, bytes of panels, and of the table that ends the file.
    let header = 0..144;
    let panels = [4096, 4097, 5000, good.len() / 3, good.len() / 2];
    let table = (good.len() - 400..good.len()).step_by(7);
    for at in header.chain(panels).chain(table) {
        let mut bent = good.clone();
        bent[at] ^= 0x10;
        refused(&bent, &format!("byte {at} is another"));
    }
    assert_eq!(cached(&cache, &model, identity), (plain.clone(), false));
    assert_eq!(cached(&cache, &model, identity), (plain, true), "it was made anew");
    assert!(fs::read(&path).expect("it reads") == good, "the same file");
}

#[test]
fn a_file_of_other_weights_is_never_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
    let model = model();
    let all = identity(&whole(&model), b"a model");
    cached(&cache, &model, all);
    let path = only_file(folder.path());
    let share = Share { start: 0, units: 1, of: 2 };
    let others = [
        identity(&whole(&model), b"another model"),
        PackedIdentity { share, ..all },
        PackedIdentity { layers: protocol::model_spec::LayerRange::new(0, 2), ..all },
    ];
    for other in others {
        let shard = cache.shard(other, 1);
        assert!(!shard.is_found() && shard.refused().is_none(), "it has a name of its own");
    }
    // Even under the other's name.
    cached(&cache, &model, others[0]);
    let mut files = fs::read_dir(folder.path()).expect("it reads").map(|f| f.expect("one").path());
    let other = files.find(|file| *file != path).expect("the other file");
    fs::copy(&other, &path).expect("copied");
    let shard = cache.shard(all, 1);
    let error = shard.refused().expect("it is told").to_string();
    assert!(error.contains("another model"), "{error}");
}

#[test]
fn any_change_of_a_users_file_is_another_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    fs::write(&path, b"weights").expect("written");
    let manifest = model().manifest;
    let first = digest_of_files(&manifest, &[&path]).expect("it is there");
    assert_eq!(digest_of_files(&manifest, &[&path]).expect("it is there"), first);
    let written = fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
    // As long, and with the time of writing set back.
    fs::write(&path, b"WEIGHTS").expect("written");
    fs::File::open(&path).and_then(|file| file.set_modified(written)).expect("set back");
    assert_ne!(digest_of_files(&manifest, &[&path]).expect("it is there"), first);
    let mut other = manifest.clone();
    other.tensors[0].offset += 32;
    let now = digest_of_files(&manifest, &[&path]).expect("it is there");
    assert_ne!(digest_of_files(&other, &[&path]).expect("it is there"), now, "another header");
    assert!(digest_of_files(&manifest, &[folder.path().join("none")]).is_err());
}

#[test]
fn two_loaders_at_once_leave_one_whole_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model();
    let all = identity(&whole(&model), b"a model");
    let plain = logits(&model.manifest, &model, &whole(&model));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
                for _ in 0..4 {
                    assert!(cached(&cache, &model, all).0 == plain);
                }
            });
        }
    });
    only_file(folder.path());
    let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
    assert_eq!(cached(&cache, &model, all), (plain, true));
}

#[test]
fn a_stage_that_is_freed_ends_the_writing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
    let model = model();
    let config = whole(&model);
    let shard = cache.shard(identity(&config, b"a model"), 1);
    let stage = Stage::load(&model.manifest, &shard.over(&model), &config, &mut |_| {});
    drop(stage);
    assert!(shard.keep().is_err());
    assert_eq!(fs::read_dir(folder.path()).expect("it reads").count(), 0);
}

const CHILD_FOLDER: &str = "TRIREME_TEST_PACKED_FOLDER";

#[test]
#[ignore = "the child that another test kills"]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let model = model();
    let cache = PackedCache::open(Path::new(&folder), LIMIT).expect("it opens");
    for count in 0_u32.. {
        cached(&cache, &model, identity(&whole(&model), &count.to_le_bytes()));
    }
}

#[test]
fn a_kill_in_the_middle_of_writing_leaves_whole_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model();
    let files = || {
        let files = fs::read_dir(folder.path()).expect("it reads");
        files.filter_map(|file| file.ok().map(|file| file.path())).collect::<Vec<_>>()
    };
    let is_unfinished = |file: &PathBuf| file.extension().is_some_and(|end| end == "tmp");
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "packed_cache::writes_until_it_is_killed", "--ignored"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let begun = Instant::now();
        while !files().iter().any(is_unfinished) && begun.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().expect("it runs");
        child.wait().expect("it ended");
    }
    assert!(!files().is_empty(), "it wrote");
    let cache = PackedCache::open(folder.path(), LIMIT).expect("it opens");
    assert!(!files().iter().any(is_unfinished), "what was begun is gone");
    let plain = logits(&model.manifest, &model, &whole(&model));
    let mut found = 0;
    for count in 0..files().len() as u32 {
        let identity = identity(&whole(&model), &count.to_le_bytes());
        let shard = cache.shard(identity, 1);
        assert!(shard.refused().is_none(), "{:?}", shard.refused());
        found += usize::from(shard.is_found());
        assert!(cached(&cache, &model, identity).0 == plain);
    }
    assert!(found > 0 || files().is_empty());
}
