//! Any bytes as the configuration of a Hugging Face directory.
#![no_main]

mod model_folder;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = checkpoint::open(&model_folder::with("config.json", bytes));
});
