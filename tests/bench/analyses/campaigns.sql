-- Visits, and those that buy, by the campaign of their first event; none is direct traffic.
WITH session AS (
    SELECT session_id,
           min_by(coalesce(utm_source, '(direct)'), ROW(event_timestamp, event_id)) AS source,
           min_by(coalesce(utm_campaign, '(none)'), ROW(event_timestamp, event_id)) AS campaign,
           bool_or(event_type = 'purchase') AS bought
    FROM {table}
    WHERE session_id IS NOT NULL
    GROUP BY session_id
)
SELECT source, campaign, count(*) AS sessions, count_if(bought) AS bought
FROM session
GROUP BY source, campaign
ORDER BY source, campaign
