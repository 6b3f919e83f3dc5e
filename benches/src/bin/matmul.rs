//! Speed of the engine's matrix products beside the memory's read bandwidth, per weight type,
//! number of rows, kernel set and number of threads.
//!
//! `matmul [--threads 1,2] [--rows 1,8,16,64,512] [--outputs N] [--columns N] [TYPE...]`

#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::time::Instant;

use engine::matmul::{InputSpace, PackedMatrix, Product, multiply, pack_panels};
use engine::{Compute, KernelSet, WeightType};

/// Matrices of one measurement together: more than the last-level cache holds.
const WEIGHT_BYTES: usize = 400 << 20;
const REPEATS: usize = 5;

struct Options {
    threads: Vec<usize>,
    rows: Vec<usize>,
    outputs: usize,
    columns: usize,
    types: Vec<WeightType>,
}

fn main() -> Result<(), String> {
    let options = Options::parse(std::env::args().skip(1))?;
    println!("{}", cpu());
    for threads in &options.threads {
        for set in KernelSet::available().rev() {
            let compute = Compute::new(set, *threads, || {});
            println!("\n{set}, {threads} threads, {:.1} GB/s read", read_bandwidth(&compute));
            println!("type  | GB/s packed |{}", heading(&options.rows));
            for weight in &options.types {
                println!("{:5} | {}", weight.name(), measure(&compute, *weight, &options));
            }
        }
    }
    Ok(())
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            threads: vec![1, 2],
            rows: vec![1, 8, 16, 64, 512],
            outputs: 8192,
            columns: 2048,
            types: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--threads" => options.threads = numbers(&value()?)?,
                "--rows" => options.rows = numbers(&value()?)?,
                "--outputs" => options.outputs = number(&value()?)?,
                "--columns" => options.columns = number(&value()?)?,
                name => match WeightType::ALL.into_iter().find(|weight| weight.name() == name) {
                    Some(weight) => options.types.push(weight),
                    None => return Err(format!("`{name}` is neither an option nor a type")),
                },
            }
        }
        if options.types.is_empty() {
            options.types = WeightType::ALL.to_vec();
        }
        Ok(options)
    }
}

fn numbers(list: &str) -> Result<Vec<usize>, String> {
    list.split(',').map(number).collect()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn heading(rows: &[usize]) -> String {
    rows.iter().map(|rows| format!(" {:>19} |", format!("{rows} rows"))).collect()
}

fn measure(compute: &Compute, weight: WeightType, options: &Options) -> String {
    let (outputs, columns) = (options.outputs, options.columns);
    let row_bytes = columns / weight.block_elements() as usize * weight.block_bytes() as usize;
    // Small bytes: no scale is infinite.
    let file: Vec<u8> =
        (0..outputs * row_bytes).map(|i| ((i * 2_654_435_761) >> 9) as u8 & 0x3f).collect();
    let count = (WEIGHT_BYTES / file.len()).max(2);
    let packing = Instant::now();
    let matrices: Vec<_> = (0..count).map(|_| pack(weight, (outputs, columns), &file)).collect();
    let packing = (count * file.len()) as f64 / packing.elapsed().as_secs_f64() / 1e9;
    let mut line = format!("{packing:11.2} |");
    for rows in &options.rows {
        let x: Vec<f32> = (0..rows * columns).map(|i| (i % 101) as f32 - 50.0).collect();
        let mut out = vec![0.0; rows * outputs];
        let mut space = InputSpace::with_capacity(*rows, columns);
        let products = (128 / rows).clamp(1, count);
        let mut next = (0..count).cycle();
        let mut seconds: Vec<f64> = (0..REPEATS)
            .map(|_| {
                let start = Instant::now();
                for matrix in next.by_ref().take(products) {
                    let mut products = [Product::new(&matrices[matrix], &mut out)];
                    multiply(compute, &mut products, &x, &mut space);
                }
                start.elapsed().as_secs_f64() / products as f64
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds[REPEATS / 2];
        let operations = 2.0 * (rows * outputs * columns) as f64 / median / 1e9;
        let bytes = file.len() as f64 / median / 1e9;
        line += &format!(" {operations:6.0} GF {bytes:4.1} GB/s |");
    }
    line
}

fn pack(weight: WeightType, (outputs, columns): (usize, usize), file: &[u8]) -> PackedMatrix {
    let mut packed = PackedMatrix::zeroed(weight, outputs, columns).expect("memory for weights");
    let piece = file.len().div_ceil(outputs) * 64;
    for (rows, panels) in file.chunks(piece).zip(packed.pieces_mut(4)) {
        pack_panels(weight, columns, rows, panels);
    }
    packed
}

/// What all threads together read of 1 GiB, in GB/s.
fn read_bandwidth(compute: &Compute) -> f64 {
    let mut memory = vec![1_u64; 1 << 27];
    let bytes = size_of_val(&memory[..]) as f64;
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        compute.run_chunks(&mut memory, 1 << 20, |_, chunk| {
            let mut sums = [0_u64; 32];
            for values in chunk.as_chunks::<32>().0 {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = sum.wrapping_add(*value);
                }
            }
            std::hint::black_box(sums);
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    bytes / best / 1e9
}

/// The CPU's model and the features that decide the kernel set.
fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let known = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"];
    let found: Vec<_> =
        known.into_iter().filter(|known| flags.split(' ').any(|f| f == *known)).collect();
    format!("{}: {}", field("model name").unwrap_or_else(|| "unknown CPU".into()), found.join(" "))
}
