//! Any bytes as a tokenizer, which then encodes some text.
#![no_main]

mod model_folder;

use coordinator::text::Text;
use libfuzzer_sys::fuzz_target;

// A panic of the library that is caught and becomes an error is no finding; the fuzzer's own hook
// would end the process before. One that nobody catches still does.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    let folder = model_folder::with("tokenizer.json", bytes);
    let Ok(assets) = checkpoint::open_text(&folder) else { return };
    let Ok(text) = Text::new(&assets) else { return };
    if let Ok(ids) = text.encode("Hello, wörld! 12 <s>", true) {
        text.decode(&ids, false);
    }
});
