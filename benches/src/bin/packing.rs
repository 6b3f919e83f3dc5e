//! How fast weights are packed when they load, in GB of the file per second of a core's time,
//! beside plain copies of the same bytes into as fresh memory; then a whole file, beside a copy
//! of it.
//!
//! What counts is the time that threads were running, so that other work on the machine does not.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use benches::whole_model::WholeModel;
use benches::{machine, median};
use clap::Parser;
use engine::matmul::{PackedMatrix, pack_panels};
use engine::{PackedCache, WeightType};

/// A file's bytes of one matrix: more than the last-level cache holds.
const BYTES: usize = 192 << 20;
const COLUMNS: usize = 2048;
/// Of one turn of a thread, as when a file is loaded.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Parser)]
struct Arguments {
    /// Types, by the names that GGUF tools print.
    #[arg(default_values = ["Q4_K", "Q6_K", "Q8_0", "Q4_0", "Q5_K", "F16", "BF16"])]
    types: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Runs of each; they alternate.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// GGUF file to load with as many threads as cores; it should be in the page cache.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Folder for the file's packed weights: loads them from there too, and decodes in turn with
    /// mapped weights and with those in memory.
    #[arg(long, requires = "model")]
    cache: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let most = arguments.threads.iter().copied().max().unwrap_or(1);
    println!("{}", machine::describe(most));
    println!("GB/s of a core, median of {}: packed, plain copy, ratio", arguments.pairs);
    for name in &arguments.types {
        let known = WeightType::ALL.into_iter().find(|weight| weight.name() == name);
        let weight = known.ok_or_else(|| format!("`{name}` is no type of weights"))?;
        let mut line = format!("{name:8}");
        for threads in &arguments.threads {
            let [packed, copied] = measure(weight, *threads, arguments.pairs);
            line +=
                &format!(" | {threads} threads {packed:5.2} {copied:5.2} {:4.2}", packed / copied);
        }
        println!("{line}");
    }
    if let Some(path) = &arguments.model {
        measure_file(path, most, arguments.pairs)?;
        if let Some(folder) = &arguments.cache {
            measure_mapped(path, folder, arguments.pairs)?;
        }
    }
    Ok(())
}

/// GB/s of a thread's running time, of packing and of copying.
fn measure(weight: WeightType, threads: usize, pairs: usize) -> [f64; 2] {
    let row_bytes = COLUMNS / weight.block_elements() as usize * weight.block_bytes() as usize;
    let rows = BYTES / row_bytes;
    // Small bytes: no scale is infinite.
    let file: Vec<u8> =
        (0..rows * row_bytes).map(|i| ((i * 2_654_435_761) >> 9) as u8 & 0x3f).collect();
    let turn = (PIECE_BYTES / row_bytes).next_multiple_of(16);
    let run = |work: &(dyn Fn(&[u8], &mut [u8]) + Sync)| {
        let running = Mutex::new(0.0);
        let mut matrix = PackedMatrix::zeroed(weight, rows, COLUMNS).expect("memory for weights");
        let pieces = file.chunks(turn * row_bytes).zip(matrix.pieces_mut(turn / 16));
        let pieces = Mutex::new(pieces);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let piece = pieces.lock().expect("no panic").next();
                        let Some((from, to)) = piece else { break };
                        work(from, to);
                    }
                    *running.lock().expect("no panic") += machine::thread_seconds();
                });
            }
        });
        file.len() as f64 / running.into_inner().expect("no panic") / 1e9
    };
    let (mut packed, mut copied) = (vec![], vec![]);
    for _ in 0..pairs {
        packed.push(run(&|from, to| {
            assert!(pack_panels(weight, COLUMNS, from, to), "all scales are finite");
        }));
        copied.push(run(&|from, to| {
            let bytes = from.len().min(to.len());
            to[..bytes].copy_from_slice(&from[..bytes]);
        }));
    }
    [median(&mut packed), median(&mut copied)]
}

/// Loads a file, and copies it into fresh memory, in turn.
fn measure_file(path: &Path, threads: usize, pairs: usize) -> Result<(), Box<dyn Error>> {
    engine::Compute::configure(engine::KernelSet::best(), threads, || {});
    let gigabytes = std::fs::metadata(path)?.len() as f64 / 1e9;
    let (mut loaded, mut copied, mut taken) = (vec![], vec![], vec![]);
    for _ in 0..pairs {
        let begun = machine::process_seconds();
        copy_file(path, threads)?;
        let copy = machine::process_seconds();
        let model = WholeModel::load(path, 1, 16)?;
        loaded.push(gigabytes / (machine::process_seconds() - copy));
        copied.push(gigabytes / (copy - begun));
        taken.push(model.load_time.as_secs_f64());
    }
    let (loaded, copied) = (median(&mut loaded), median(&mut copied));
    println!(
        "{}: {gigabytes:.2} GB loaded in {:.2} s on {threads} threads, {loaded:.2} GB/s of a core; \
         read into fresh memory: {copied:.2}, ratio {:.2}",
        path.display(),
        median(&mut taken),
        loaded / copied
    );
    Ok(())
}

/// Loads a file's packed weights from a cache, and decodes with them and with those in memory in
/// turn.
fn measure_mapped(path: &Path, folder: &Path, pairs: usize) -> Result<(), Box<dyn Error>> {
    const TOKENS: usize = 24;
    let cache = PackedCache::open(folder, u64::MAX)?;
    let mut packed = WholeModel::load_from(path, 1, 64, Some(&cache))?;
    let mut loads = vec![];
    let load = || WholeModel::load_from(path, 1, 64, Some(&cache));
    let mut mapped = load()?;
    for _ in 0..pairs {
        mapped = load()?;
        loads.push(mapped.load_time.as_secs_f64());
    }
    let (mut rates, mut ratios) = (vec![], vec![]);
    for model in [&mut packed, &mut mapped] {
        model.prefill(0, 16)?;
    }
    for _ in 0..pairs {
        let own = packed.decode(1, TOKENS, 16)?.as_secs_f64();
        let of_map = mapped.decode(1, TOKENS, 16)?.as_secs_f64();
        rates.push(TOKENS as f64 / of_map);
        ratios.push(own / of_map);
    }
    let (load, ratio) = (median(&mut loads), median(&mut ratios));
    println!(
        "mapped: loaded in {load:.2} s, every byte checked; decodes {:.1} tokens/s, {ratio:.2} \
         ({:.2} to {:.2}) of packed memory's speed",
        median(&mut rates),
        ratios[0],
        ratios[ratios.len() - 1]
    );
    Ok(())
}

/// Reads a file, a piece at a time, and copies it to where it stays.
fn copy_file(path: &Path, threads: usize) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len() as usize;
    let mut memory = PackedMatrix::zeroed(WeightType::F32, 16, bytes / 64).ok_or("no memory")?;
    let pieces = memory.pieces_mut(1).flat_map(|all| all.chunks_mut(PIECE_BYTES)).enumerate();
    let pieces = Mutex::new(pieces);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; PIECE_BYTES];
                loop {
                    let piece = pieces.lock().expect("no panic").next();
                    let Some((index, to)) = piece else { break };
                    let buffer = &mut buffer[..to.len()];
                    file.read_exact_at(buffer, (index * PIECE_BYTES) as u64).expect("the file");
                    to.copy_from_slice(buffer);
                }
            });
        }
    });
    Ok(())
}
