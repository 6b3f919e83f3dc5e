//! The conditions of a measurement, printed above its figures.

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
