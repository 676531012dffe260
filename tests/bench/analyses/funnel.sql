-- How many visits reach each step after the one before it: one scan.
WITH step AS (
    SELECT min(event_timestamp) FILTER (WHERE event_type = 'page_view') AS viewed,
           min(event_timestamp) FILTER (WHERE event_type = 'add_to_cart') AS added,
           min(event_timestamp) FILTER (WHERE event_type = 'checkout_start') AS started,
           min(event_timestamp) FILTER (WHERE event_type = 'purchase') AS bought
    FROM {table}
    WHERE session_id IS NOT NULL
    GROUP BY session_id
)
SELECT count(viewed) AS viewed,
       count_if(viewed < added) AS added,
       count_if(viewed < added AND added < started) AS started,
       count_if(viewed < added AND added < started AND started < bought) AS bought
FROM step
