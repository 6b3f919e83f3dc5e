//! Stop strings over a stream of text: no part of one is ever shown.

/// Finds the first stop string in a text that comes in pieces of any size.
///
/// The result does not depend on where the pieces are cut: the stop string that is complete
/// first ends the text, and of two that are complete at the same byte, the longer one.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<Pattern>,
    /// Text that could still become a stop string.
    held: String,
    stopped: bool,
}

/// What to show after a piece of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopScan {
    pub text: String,
    /// The stop string that ended the text, by its place in the list; nothing comes after it.
    pub stop: Option<usize>,
}

impl StopStrings {
    /// Empty strings are ignored.
    pub fn new<S: AsRef<str>>(stops: impl IntoIterator<Item = S>) -> Self {
        let stops = stops.into_iter().enumerate();
        let stops = stops.filter_map(|(index, text)| Pattern::new(index, text.as_ref()));
        Self { stops: stops.collect(), held: String::new(), stopped: false }
    }

    /// Takes the next piece of the text and returns what is certain not to be part of a stop.
    pub fn push(&mut self, piece: &str) -> StopScan {
        if self.stopped {
            return StopScan::default();
        }
        let start = self.held.len();
        self.held.push_str(piece);
        for (offset, byte) in piece.bytes().enumerate() {
            if let Some((length, index)) = self.advance(byte) {
                self.stopped = true;
                let mut text = std::mem::take(&mut self.held);
                text.truncate(start + offset + 1 - length);
                return StopScan { text, stop: Some(index) };
            }
        }
        let keep = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        StopScan { text: std::mem::replace(&mut self.held, rest), stop: None }
    }

    /// The text has ended: what was held back is shown after all.
    pub fn finish(&mut self) -> String {
        self.stopped = true;
        std::mem::take(&mut self.held)
    }

    /// Length and place of the longest stop string that `byte` completes.
    fn advance(&mut self, byte: u8) -> Option<(usize, usize)> {
        let mut longest: Option<(usize, usize)> = None;
        for stop in &mut self.stops {
            let length = stop.bytes.len();
            if stop.advance(byte) && longest.is_none_or(|(other, _)| length > other) {
                longest = Some((length, stop.index));
            }
        }
        longest
    }
}

/// One stop string and how much of it the text ends with (Knuth, Morris, Pratt 1977).
#[derive(Clone, Debug)]
struct Pattern {
    index: usize,
    bytes: Vec<u8>,
    /// For each length, the longest shorter one that the same text also ends with.
    fallback: Vec<usize>,
    matched: usize,
}

impl Pattern {
    fn new(index: usize, text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let bytes = text.as_bytes().to_vec();
        let mut fallback = vec![0; bytes.len() + 1];
        let mut length = 0;
        for end in 1..bytes.len() {
            while length > 0 && bytes[end] != bytes[length] {
                length = fallback[length];
            }
            if bytes[end] == bytes[length] {
                length += 1;
            }
            fallback[end + 1] = length;
        }
        Some(Self { index, bytes, fallback, matched: 0 })
    }

    /// Whether `byte` completes the string.
    fn advance(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.fallback[self.matched];
        }
        if self.bytes[self.matched] == byte {
            self.matched += 1;
        }
        self.matched == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `pieces` and returns the whole shown text and the stop.
    fn run<'a>(
        stops: &[&str],
        pieces: impl IntoIterator<Item = &'a str>,
    ) -> (String, Option<usize>) {
        let mut scan = StopStrings::new(stops);
        let mut shown = String::new();
        let mut stop = None;
        for piece in pieces {
            let result = scan.push(piece);
            shown.push_str(&result.text);
            stop = stop.or(result.stop);
        }
        shown.push_str(&scan.finish());
        (shown, stop)
    }

    #[test]
    fn a_stop_string_over_several_tokens_is_never_shown_in_part() {
        let mut scan = StopStrings::new(["\n\nUser:"]);
        assert_eq!(scan.push("Fine.\n").text, "Fine.");
        assert_eq!(scan.push("\nUs").text, "");
        let end = scan.push("er: more");
        assert_eq!((end.text.as_str(), end.stop), ("", Some(0)));
        assert_eq!(scan.push("nothing").text, "");
        assert_eq!(scan.finish(), "");
    }

    #[test]
    fn only_what_could_become_a_stop_is_held_back() {
        let mut scan = StopStrings::new(["<end>", "STOP"]);
        assert_eq!(scan.push("a < b").text, "a < b");
        assert_eq!(scan.push("x<e").text, "x");
        assert_eq!(scan.push("mu ST").text, "<emu ");
        assert_eq!(scan.push("AY").text, "STAY");
    }

    #[test]
    fn text_that_was_held_back_is_shown_at_the_end() {
        assert_eq!(run(&["###"], ["a#", "#"]), ("a##".to_owned(), None));
    }

    #[test]
    fn the_stop_that_is_complete_first_wins() {
        assert_eq!(run(&["abcd", "bc"], ["xabcd"]), ("xa".to_owned(), Some(1)));
        assert_eq!(run(&["c", "abc"], ["xabc"]), ("x".to_owned(), Some(1)), "the longer one");
        assert_eq!(run(&["aab"], ["a", "a", "a", "b"]), ("a".to_owned(), Some(0)));
        assert_eq!(run(&["", "é"], ["caf", "é!"]), ("caf".to_owned(), Some(1)));
    }

    proptest! {
        #[test]
        fn where_the_text_is_cut_changes_nothing(
            stops in proptest::collection::vec("[ab\u{e9}]{1,4}", 0..3),
            pieces in proptest::collection::vec("[ab\u{e9}]{0,3}", 0..12),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let in_pieces = run(&stops, pieces.iter().map(String::as_str));
            prop_assert_eq!(&in_pieces, &run(&stops, [whole.as_str()]));
            prop_assert!(whole.starts_with(&in_pieces.0));
            prop_assert_eq!(in_pieces.1.is_some(), stops.iter().any(|stop| whole.contains(stop)));
            prop_assert!(stops.iter().all(|stop| !in_pieces.0.contains(stop)));
        }
    }
}
