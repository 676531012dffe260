-- One visit, event by event: what support asks for. The visit is the first by name.
SELECT event_timestamp, event_id, event_type, page_url
FROM {table}
WHERE session_id = '{session}'
ORDER BY event_timestamp, event_id
