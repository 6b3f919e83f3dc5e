//! Tokens per second of a prompt, beside llama.cpp on the same file and threads.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::path::PathBuf;

use benches::kernel_set::SetArgument;
use benches::llama_cpp::LlamaCpp;
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
    /// Prompt lengths.
    #[arg(long, value_delimiter = ',', default_value = "512,2048")]
    tokens: Vec<usize>,
    /// Runs of each; they alternate.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let threads = arguments.threads;
    println!("{}", machine::describe(threads));
    engine::Compute::configure(arguments.set.kernel_set()?, threads, || {});
    let longest = arguments.tokens.iter().copied().max().unwrap_or(1) as u32;
    let mut ours = WholeModel::load(&arguments.model, 1, longest)?;
    let mut peer = match &arguments.peer {
        Some(python) => Some(LlamaCpp::start(python, &arguments.model, threads, longest)?),
        None => None,
    };
    for tokens in arguments.tokens {
        let (mut rates, mut ratios) = (vec![], vec![]);
        for _ in 0..arguments.pairs {
            let own = tokens as f64 / ours.prefill(0, tokens)?.as_secs_f64();
            rates.push(own);
            if let Some(peer) = &mut peer {
                ratios.push(own / (tokens as f64 / peer.prefill(tokens)?.as_secs_f64()));
            }
        }
        println!("{tokens} tokens: {:.1} tokens/s (median of {})", median(&mut rates), rates.len());
        if let Some(peer) = &peer {
            let ratio = median(&mut ratios);
            let range = (ratios.first().copied(), ratios.last().copied());
            println!("llama-cpp-python {}: ratio {ratio:.2} {range:.2?}", peer.version);
        }
    }
    Ok(())
}
