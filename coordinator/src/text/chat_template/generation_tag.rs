//! The `{% generation %}` tag, by which training code finds the assistant's words.
//!
//! It shows nothing, but opens a scope of its own, as `{% with %}` does, which takes its place.

/// The source with each pair of `generation` tags as `with` tags, white space control kept.
pub(super) fn rewrite(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        result.push_str(&rest[..start]);
        rest = &rest[start..];
        match tag(rest) {
            Some((replacement, length)) => {
                result.push_str(&replacement);
                rest = &rest[length..];
            }
            None => {
                result.push_str("{%");
                rest = &rest[2..];
            }
        }
    }
    result.push_str(rest);
    result
}

/// What replaces the tag that `text` starts with, if it is one of the two, and its length.
fn tag(text: &str) -> Option<(String, usize)> {
    let inside = &text[2..text.find("%}")?];
    let length = inside.len() + 4;
    let (open, inside) = control(inside, |s| s.strip_prefix(['-', '+']));
    let (close, inside) = control(inside, |s| s.strip_suffix(['-', '+']));
    let name = match inside.trim() {
        "generation" => "with",
        "endgeneration" => "endwith",
        _ => return None,
    };
    Some((format!("{{%{open} {name} {close}%}}"), length))
}

/// Takes a white space control sign off one end.
fn control<'a>(text: &'a str, strip: impl Fn(&'a str) -> Option<&'a str>) -> (&'a str, &'a str) {
    match strip(text) {
        Some(rest) if text.ends_with(rest) => (&text[..1], rest),
        Some(rest) => (&text[rest.len()..], rest),
        None => ("", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generation_tags_change() {
        let source = "{%- generation -%}a{% endgeneration %}{% if x %}{%-if y%}{{ '{%' }}";
        let expected = "{%- with -%}a{% endwith %}{% if x %}{%-if y%}{{ '{%' }}";
        assert_eq!(rewrite(source), expected);
        assert_eq!(rewrite("{%+generation%}{%"), "{%+ with %}{%");
    }
}
