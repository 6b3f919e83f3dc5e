//! The conditions of a measurement, printed above its figures, and the time that it really had.

use std::fmt::Write;

/// CPU model, its vector features and the number of threads, in one line.
pub fn describe(threads: usize) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    };
    let wanted = ["avx2", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp"];
    let flags = [field("flags"), field("Features")];
    let has = |flag: &&&str| flags.iter().any(|flags| flags.split(' ').any(|f| f == **flag));
    let mut line = format!("{}; {threads} threads;", field("model name"));
    for flag in wanted.iter().filter(has) {
        // Writing to a string does not fail.
        let _ = write!(line, " {flag}");
    }
    line
}

/// Seconds that the calling thread was running so far, where Linux says it.
pub fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let running = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    running.map_or(f64::NAN, |ns| ns / 1e9)
}

/// Seconds that all threads of this process were running so far, those that ended too.
pub fn process_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything, user and system time are fields 11 and 12; a tick
    // is a hundredth of a second on all of Linux.
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 { ticks.iter().sum::<f64>() / 100.0 } else { f64::NAN }
}
