//! Which known key an unknown one was probably meant to be. Pure; called for `maintenance.json`, and by the connector for
//! its own keys.

/// The nearest known name, when it is near enough to be a slip of the hand: at most a quarter of the letters differ.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = unknown.to_ascii_lowercase();
    let length = lower.chars().count();
    // Comparing takes the product of both lengths, and a stranger's key may be long: what cannot be near is not compared.
    let alike = known.into_iter().filter(|name| name.len().abs_diff(length) <= slips(name));
    let (distance, name) =
        alike.map(|name| (strsim::damerau_levenshtein(&lower, name), name)).min_by_key(|(distance, _)| *distance)?;
    (distance <= slips(name)).then_some(name)
}

/// Letters that may differ.
fn slips(name: &str) -> usize {
    (name.len() / 4).clamp(1, 6)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_their_key_and_nonsense_finds_none() {
        let known = ["min-interval-ms", "commit-count", "enabled"];
        assert_eq!(nearest("min_interval_ms", known), Some("min-interval-ms"));
        assert_eq!(nearest("Comit-Count", known), Some("commit-count"));
        assert_eq!(nearest("favourite-colour", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn a_long_key_costs_no_comparison() {
        let begun = std::time::Instant::now();
        assert_eq!(nearest(&"enabled".repeat(30_000), ["enabled"]), None);
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
