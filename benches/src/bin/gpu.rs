//! Decoding, prompts, batches and pipelines of processes on a device, beside what its memory and
//! its multipliers can do; weights of real shapes are made as they are loaded.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::io::{stdin, stdout};
use std::process::Command;
use std::time::Instant;

use benches::median;
use benches::process_chain::{ProcessChain, part, serve};
use benches::read_bandwidth::ReadBandwidth;
use benches::shape_stage::{Room, ShapeStage, Step};
use benches::synthetic::{Shape, Synthetic};
use clap::Parser;
use engine::Place;

#[derive(Clone, Parser)]
struct Arguments {
    /// `cpu`, or `cuda:N` in a build with the feature `cuda`.
    #[arg(long, default_value = "cuda:0")]
    device: String,
    #[arg(long, value_enum, default_value = "llama3.1-8b")]
    shape: Shape,
    /// Fewer layers than the shape has.
    #[arg(long)]
    layers: Option<u32>,
    /// Tokens of a prompt.
    #[arg(long, default_value_t = 512)]
    prompt: u32,
    /// Tokens that are decoded in each run.
    #[arg(long, default_value_t = 64)]
    tokens: u32,
    /// Sequences that decode together, beside one alone; also those of the pipelines.
    #[arg(long, default_value_t = 32)]
    batch: u32,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Numbers of processes that share the device as a pipeline.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    processes: Vec<u32>,
    /// One of those processes: stage and number of stages.
    #[arg(long, hide = true, num_args = 2)]
    stage: Vec<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let place = Place::named(&arguments.device)?;
    let model = Synthetic::new(arguments.shape, arguments.layers)?;
    if let [index, of] = arguments.stage[..] {
        let layers = part(model.spec().layer_count(), index, of);
        let mut stage = ShapeStage::load(&place, &model, layers, arguments.room())?;
        return serve(&mut stage, index == 0, stdin().lock(), stdout().lock());
    }
    let limits = Limits::of(&place)?;
    println!("{} on {}: {limits}", arguments.shape_name(), arguments.device);
    println!("| what | tokens/s | of memory bandwidth | of peak matmul | |");
    println!("|---|---|---|---|---|");
    whole(&arguments, &place, &model, &limits)?;
    drop(place);
    pipelines(&arguments)
}

impl Arguments {
    fn room(&self) -> Room {
        let context = self.prompt + self.tokens + 1;
        Room { sequences: self.batch.max(1), context, rows: self.prompt.max(self.batch).max(1) }
    }

    fn shape_name(&self) -> String {
        let layers = self.layers.map_or_else(String::new, |layers| format!(", {layers} layers"));
        format!("{:?} in Q4_K_M{layers}", self.shape)
    }
}

/// What the device can do at most, as far as it was measured.
struct Limits {
    bytes_per_second: f64,
    macs_per_second: Option<f64>,
}

impl Limits {
    fn of(place: &Place) -> Result<Self, Box<dyn Error>> {
        Ok(match place.rates()? {
            Some(rates) => Self {
                bytes_per_second: rates.bytes_per_second,
                macs_per_second: Some(rates.macs_per_second),
            },
            None => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let bytes_per_second = ReadBandwidth::new(threads).measure();
                Self { bytes_per_second, macs_per_second: None }
            }
        })
    }
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} GB/s of copies or reads", self.bytes_per_second / 1e9)?;
        match self.macs_per_second {
            Some(macs) => write!(f, ", {:.1} TFLOP/s of one large bf16 product", 2.0 * macs / 1e12),
            None => Ok(()),
        }
    }
}

/// One process with the whole model.
fn whole(
    arguments: &Arguments,
    place: &Place,
    model: &Synthetic,
    limits: &Limits,
) -> Result<(), Box<dyn Error>> {
    let Arguments { prompt, tokens, batch, runs, .. } = *arguments;
    let begun = Instant::now();
    let layers = model.spec().all_layers();
    let mut stage = ShapeStage::load(place, model, layers, arguments.room())?;
    let loaded = begun.elapsed().as_secs_f64();
    let bytes = model.bytes_per_token() as f64;
    println!("| load | | | | {:.1} GB in {loaded:.1} s |", bytes / 1e9);
    let mut rate = |step: Step, steps: u32| -> Result<f64, Box<dyn Error>> {
        let mut rates = Vec::new();
        // The first run, in which kernels load, does not count.
        for run in 0..=runs {
            let begun = Instant::now();
            for i in 0..steps {
                let position = step.position + i;
                stage.run(Step { position, ..step }, None, |_| Ok(()))?;
            }
            let rows = f64::from(steps * step.sequences * step.rows);
            if run > 0 {
                rates.push(rows / begun.elapsed().as_secs_f64());
            }
        }
        Ok(median(&mut rates))
    };
    let filled = Step { first: 0, sequences: 1, position: 0, rows: prompt };
    let prefill = rate(filled, 1)?;
    let peak = limits.macs_per_second.map(|peak| prefill * model.macs_per_token() as f64 / peak);
    let peak = peak.map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"));
    println!("| prompt of {prompt} | {prefill:.0} | | {peak} | |");
    let row = Step { first: 0, sequences: 1, position: prompt, rows: 1 };
    let one = rate(row, tokens)?;
    let share = one * bytes / limits.bytes_per_second;
    println!("| decode, 1 sequence after {prompt} | {one:.1} | {share:.2} | | |");
    let all = rate(Step { sequences: batch, ..row }, tokens)?;
    println!("| decode, {batch} sequences | {all:.1} | | | {:.1} x of one |", all / one);
    Ok(())
}

/// Several processes on the device; the same groups of sequences in one process beside them.
fn pipelines(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { prompt, tokens, batch, .. } = *arguments;
    let mut alone = None;
    for &of in &arguments.processes {
        let mut chain = ProcessChain::start(commands(arguments, of)?)?;
        let seconds = chain.one_after_another(tokens, prompt)?.as_secs_f64() / f64::from(tokens);
        let hop = match alone {
            Some(alone) if of > 1 => {
                let micros = (seconds - alone) / f64::from(of - 1) * 1e6;
                format!("a hop costs {micros:.0} us (pipes, through the host)")
            }
            _ => String::new(),
        };
        alone = alone.or(Some(seconds).filter(|_| of == 1));
        println!("| {of} processes, 1 sequence | {:.1} | | | {hop} |", 1.0 / seconds);
        let sequences = (batch / of).max(1);
        let all = f64::from(of * sequences * tokens);
        let rate = all / chain.together(of, sequences, tokens, prompt)?.as_secs_f64();
        drop(chain);
        let beside = if of == 1 {
            String::new()
        } else {
            let mut one = ProcessChain::start(commands(arguments, 1)?)?;
            let same = all / one.together(of, sequences, tokens, prompt)?.as_secs_f64();
            format!("{:.2} of one process with the same steps", rate / same)
        };
        println!("| {of} processes, {of} x {sequences} sequences | {rate:.1} | | | {beside} |");
    }
    Ok(())
}

fn commands(arguments: &Arguments, of: u32) -> Result<Vec<Command>, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let Arguments { device, shape, layers, prompt, tokens, batch, .. } = arguments;
    let shape = clap::ValueEnum::to_possible_value(shape).ok_or("a shape without a name")?;
    let command = |index: u32| {
        let mut command = Command::new(&program);
        command.args(["--device", device, "--shape", shape.get_name()]);
        command.args(layers.map(|layers| format!("--layers={layers}")));
        let numbers = [("--prompt", prompt), ("--tokens", tokens), ("--batch", batch)];
        for (name, number) in numbers {
            command.args([name, &number.to_string()]);
        }
        command.args(["--stage", &index.to_string(), &of.to_string()]);
        command
    };
    Ok((0..of).map(command).collect())
}
