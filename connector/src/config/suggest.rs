//! Which known key an unknown one was probably meant to be. Pure; called by [`super::parse`].

use super::keys::KEYS;

/// The nearest known key, when it is near enough to be a slip of the hand: at most a quarter of the letters differ.
#[must_use]
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let lower = unknown.to_ascii_lowercase().replace('_', ".");
    let length = lower.chars().count();
    // Comparing takes the product of both lengths, and a stranger's key may be long: what cannot be near is not compared.
    let singles = KEYS.iter().map(|key| key.name).filter(|name| !name.ends_with('*'));
    let alike = singles.filter(|name| name.len().abs_diff(length) <= slips(name));
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
        assert_eq!(nearest("topic"), Some("topics"));
        assert_eq!(nearest("task.max"), Some("tasks.max"));
        assert_eq!(nearest("iceberg.catalog.url"), Some("iceberg.catalog.uri"));
        assert_eq!(nearest("TASKS_MAX"), Some("tasks.max"));
        assert_eq!(nearest("consumer.override.sesion.timeout.ms"), Some("consumer.override.session.timeout.ms"));
        assert_eq!(nearest("favourite.colour"), None);
        assert_eq!(nearest(""), None);
    }

    #[test]
    fn a_long_key_costs_no_comparison() {
        let begun = std::time::Instant::now();
        assert_eq!(nearest(&"tasks.max".repeat(30_000)), None);
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
