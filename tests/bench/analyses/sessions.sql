-- Visits: how many, how long, how many end after one event, how many buy.
WITH session AS (
    SELECT session_id,
           count(*) AS events,
           date_diff('millisecond', min(event_timestamp), max(event_timestamp)) AS milliseconds,
           bool_or(event_type = 'purchase') AS bought
    FROM {table}
    WHERE session_id IS NOT NULL
    GROUP BY session_id
)
SELECT count(*) AS sessions,
       sum(events) AS events,
       sum(milliseconds) AS milliseconds,
       count_if(events = 1) AS bounced,
       count_if(bought) AS bought
FROM session
