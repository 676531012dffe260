-- Sessions by behaviour: a user's events, in order of time, with never more than 30 minutes between two. Whatever session id
-- the client sent is not looked at, except for events without a user, which have nothing better.
-- Bounced: one event, or one page and nothing done on it (reading and scrolling is not doing).
-- Converted: at least one purchase.
WITH ordered AS (
    SELECT
        COALESCE(user_id, session_id, event_id) AS visitor,
        event_id,
        event_timestamp,
        event_type,
        page_url,
        CASE
            WHEN event_timestamp <= LAG(event_timestamp) OVER (
                PARTITION BY COALESCE(user_id, session_id, event_id)
                ORDER BY event_timestamp, event_id
            ) + INTERVAL '30' MINUTE THEN 0
            ELSE 1
        END AS begins
    FROM clickstream
),
numbered AS (
    SELECT
        visitor,
        event_timestamp,
        event_type,
        page_url,
        SUM(begins) OVER (
            PARTITION BY visitor
            ORDER BY event_timestamp, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS session_number
    FROM ordered
),
sessions AS (
    SELECT
        visitor,
        session_number,
        COUNT(*) AS events,
        COUNT(CASE WHEN event_type = 'page_view' THEN 1 END) AS page_views,
        COUNT(DISTINCT page_url) AS pages,
        COUNT(CASE WHEN event_type NOT IN ('page_view', 'scroll') THEN 1 END) AS interactions,
        MAX(CASE WHEN event_type = 'purchase' THEN 1 ELSE 0 END) AS converted,
        date_diff('millisecond', MIN(event_timestamp), MAX(event_timestamp)) AS duration_ms
    FROM numbered
    GROUP BY visitor, session_number
),
judged AS (
    SELECT
        events,
        page_views,
        duration_ms,
        converted,
        CASE WHEN events = 1 OR (pages <= 1 AND interactions = 0) THEN 1 ELSE 0 END AS bounced
    FROM sessions
)
SELECT
    COUNT(*) AS sessions,
    CAST(AVG(CAST(events AS DOUBLE)) AS DECIMAL(12, 2)) AS events_per_session,
    CAST(AVG(CAST(page_views AS DOUBLE)) AS DECIMAL(12, 2)) AS page_views_per_session,
    CAST(AVG(CAST(duration_ms AS DOUBLE)) / 1000 AS DECIMAL(12, 2)) AS seconds_per_session,
    COALESCE(SUM(bounced), 0) AS bounced,
    CAST(100 * CAST(SUM(bounced) AS DOUBLE) / NULLIF(COUNT(*), 0) AS DECIMAL(5, 2)) AS bounce_pct,
    COALESCE(SUM(converted), 0) AS converted,
    CAST(100 * CAST(SUM(converted) AS DOUBLE) / NULLIF(COUNT(*), 0) AS DECIMAL(5, 2)) AS conversion_pct
FROM judged
