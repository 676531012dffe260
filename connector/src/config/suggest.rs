//! Which known key an unknown one was probably meant to be. Pure; called by [`super::parse`].

use super::keys::KEYS;

/// The nearest known key, when it is near enough to be a slip of the hand: at most a quarter of the letters differ.
#[must_use]
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let lower = unknown.to_ascii_lowercase().replace('_', ".");
    let singles = KEYS.iter().map(|key| key.name).filter(|name| !name.ends_with('*'));
    let (distance, name) =
        singles.map(|name| (strsim::damerau_levenshtein(&lower, name), name)).min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 4).clamp(1, 6)).then_some(name)
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
}
