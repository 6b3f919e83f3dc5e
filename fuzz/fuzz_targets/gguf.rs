//! Any bytes as a GGUF file.
#![no_main]

mod model_folder;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = model_folder::with("model.gguf", bytes).join("model.gguf");
    let _ = checkpoint::open(&path);
    let _ = checkpoint::open_text(&path);
});
