-- What visitors do: events, people and visits by type; how far down a page is scrolled.
SELECT event_type,
       count(*) AS events,
       count(DISTINCT user_id) AS users,
       count(DISTINCT session_id) AS sessions,
       avg(scroll_depth) FILTER (WHERE event_type = 'scroll') AS scroll_depth
FROM {table}
GROUP BY event_type
ORDER BY event_type
