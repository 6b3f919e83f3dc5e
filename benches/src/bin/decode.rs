//! Tokens per second of decoding, beside llama.cpp on the same file and threads, and beside the
//! memory's read bandwidth; then how a batch gains on one sequence.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::path::PathBuf;

use benches::kernel_set::SetArgument;
use benches::llama_cpp::LlamaCpp;
use benches::read_bandwidth::ReadBandwidth;
use benches::whole_model::WholeModel;
use benches::{machine, median};
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// GGUF file.
    model: PathBuf,
    /// Python interpreter with llama-cpp-python; without it no peer is measured.
    #[arg(long)]
    peer: Option<PathBuf>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[command(flatten)]
    set: SetArgument,
    /// Steps per run.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Tokens of context before the first step.
    #[arg(long, default_value_t = 16)]
    context: usize,
    /// Runs of each; they alternate.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Sequences that decode together, beside one alone.
    #[arg(long, value_delimiter = ',', default_value = "8,16")]
    batch: Vec<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let Arguments { threads, tokens, context, .. } = arguments;
    println!("{}", machine::describe(threads));
    engine::Compute::configure(arguments.set.kernel_set()?, threads, || {});
    let sequences = arguments.batch.iter().copied().max().unwrap_or(1).max(1);
    let length = (context + tokens) as u32;
    let mut ours = WholeModel::load(&arguments.model, sequences, length)?;
    println!("loaded in {:.2} s", ours.load_time.as_secs_f64());
    let mut peer = match &arguments.peer {
        Some(python) => Some(LlamaCpp::start(python, &arguments.model, threads, length)?),
        None => None,
    };
    for sequence in 0..sequences {
        ours.prefill(sequence, context)?;
    }
    let bandwidth = ReadBandwidth::new(threads);
    let (mut rates, mut ratios, mut reads) = (vec![], vec![], vec![]);
    for _ in 0..arguments.pairs {
        let own = tokens as f64 / ours.decode(1, tokens, context)?.as_secs_f64();
        rates.push(own);
        if let Some(peer) = &mut peer {
            let theirs = tokens as f64 / peer.decode(tokens, context)?.as_secs_f64();
            ratios.push(own / theirs);
        }
        reads.push(bandwidth.measure());
    }
    let rate = median(&mut rates);
    println!("one sequence after {context} tokens: {rate:.1} tokens/s (median of {})", rates.len());
    if let Some(peer) = &peer {
        let ratio = median(&mut ratios);
        let range = (ratios.first().copied(), ratios.last().copied());
        println!("llama-cpp-python {}: ratio {ratio:.2} {range:.2?}", peer.version);
    }
    let (bytes, read) = (ours.bytes_per_token(), median(&mut reads));
    let share = rate * bytes as f64 / read;
    println!(
        "reads {:.2} GB a token; {:.1} GB/s measured; {share:.2} of it",
        bytes as f64 / 1e9,
        read / 1e9
    );
    for sequences in arguments.batch {
        let mut gains = vec![];
        for _ in 0..arguments.pairs.min(3) {
            let one = ours.decode(1, tokens, context)?.as_secs_f64();
            let all = ours.decode(sequences, tokens, context)?.as_secs_f64();
            gains.push(f64::from(sequences) * one / all);
        }
        println!("{sequences} sequences: {:.2} x the tokens/s of one", median(&mut gains));
    }
    Ok(())
}
