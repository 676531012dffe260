//! Which known key an unknown one was probably meant to be. Pure; called by [`super::parse`].

use super::keys::KEYS;

/// The nearest known key, when it is near enough to be a slip of the hand; see [`catalog_sync::suggest`].
#[must_use]
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let singles = KEYS.iter().map(|key| key.name).filter(|name| !name.ends_with('*'));
    catalog_sync::suggest::nearest(&unknown.replace('_', "."), singles)
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
