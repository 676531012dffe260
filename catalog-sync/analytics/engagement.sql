-- What visitors do, in one row, in one pass over the table.
-- A session here is the client's session id. Conversion is sessions with a purchase per sessions, so it cannot pass 100 %:
-- several purchases in a session count once. An average over nothing is NULL.
WITH totals AS (
    SELECT
        COUNT(*) AS events,
        COUNT(DISTINCT event_id) AS distinct_events,
        COUNT(DISTINCT user_id) AS users,
        COUNT(DISTINCT session_id) AS sessions,
        COUNT(DISTINCT CASE WHEN event_type = 'purchase' THEN session_id END) AS sessions_with_purchase,
        COUNT(CASE WHEN event_type = 'page_view' THEN 1 END) AS page_views,
        COUNT(CASE WHEN event_type = 'click' THEN 1 END) AS clicks,
        COUNT(CASE WHEN event_type = 'scroll' THEN 1 END) AS scrolls,
        COUNT(CASE WHEN event_type = 'search' THEN 1 END) AS searches,
        COUNT(CASE WHEN event_type = 'form_submit' THEN 1 END) AS forms,
        COUNT(CASE WHEN event_type = 'add_to_cart' THEN 1 END) AS added_to_cart,
        COUNT(CASE WHEN event_type = 'remove_from_cart' THEN 1 END) AS removed_from_cart,
        COUNT(CASE WHEN event_type = 'checkout_start' THEN 1 END) AS checkouts,
        COUNT(CASE WHEN event_type = 'purchase' THEN 1 END) AS purchases
    FROM clickstream
)
SELECT
    events,
    distinct_events,
    users,
    sessions,
    page_views,
    clicks,
    scrolls,
    searches,
    forms,
    added_to_cart,
    removed_from_cart,
    checkouts,
    purchases,
    CAST(CAST(page_views AS DOUBLE) / NULLIF(sessions, 0) AS DECIMAL(12, 2)) AS page_views_per_session,
    CAST(100 * CAST(sessions_with_purchase AS DOUBLE) / NULLIF(sessions, 0) AS DECIMAL(5, 2)) AS conversion_pct
FROM totals
