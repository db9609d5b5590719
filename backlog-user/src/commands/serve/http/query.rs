//! Reads the query of a URL.

/// The number with this name.
pub(super) fn number(query: Option<&str>, name: &str) -> Option<u32> {
    value(query?, name)?.parse().ok()
}

/// The value with this name. Our values contain no escaped characters.
pub(super) fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
