//! The tokenizer library panics at some files that it does not understand (a decoder with a broken
//! escape, a normalizer with a broken table): here that is an error like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `call` returns; the reason where it panics or fails.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, String> {
    // Nothing that `call` saw is used after a panic: a tokenizer in the making is dropped, and one
    // that encodes changes only its cache, which it locks without poisoning.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("the tokenizer library gave up: {}", text.unwrap_or("no reason")))
        }
    }
}
