-- The ten pages seen most. A page is its address; a changed title does not split it.
-- Time on page is known only after the view began and is reported by later events of the same view, each with the seconds so
-- far: so the largest value of each view counts, and views for which none is known are left out of the average.
-- Scroll depth is the deepest point a session reached on the page.
WITH numbered AS (
    SELECT
        COALESCE(session_id, user_id, event_id) AS visit,
        user_id,
        event_type,
        page_url,
        page_title,
        time_on_page,
        scroll_depth,
        SUM(CASE WHEN event_type = 'page_view' THEN 1 ELSE 0 END) OVER (
            PARTITION BY COALESCE(session_id, user_id, event_id)
            ORDER BY event_timestamp, CASE WHEN event_type = 'page_view' THEN 0 ELSE 1 END, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS view_number
    FROM clickstream
),
views AS (
    SELECT
        visit,
        page_url,
        MAX(user_id) AS user_id,
        MAX(page_title) AS page_title,
        COUNT(CASE WHEN event_type = 'page_view' THEN 1 END) AS page_views,
        MAX(time_on_page) AS seconds,
        MAX(scroll_depth) AS scroll_depth
    FROM numbered
    GROUP BY visit, view_number, page_url
),
visits AS (
    SELECT
        visit,
        page_url,
        MAX(user_id) AS user_id,
        MAX(page_title) AS page_title,
        SUM(page_views) AS page_views,
        SUM(seconds) AS seconds,
        COUNT(seconds) AS timed_views,
        MAX(scroll_depth) AS scroll_depth
    FROM views
    GROUP BY visit, page_url
)
SELECT
    page_url,
    MAX(page_title) AS page_title,
    SUM(page_views) AS page_views,
    COUNT(DISTINCT user_id) AS visitors,
    CAST(CAST(SUM(seconds) AS DOUBLE) / NULLIF(SUM(timed_views), 0) AS DECIMAL(12, 2)) AS seconds_per_view,
    CAST(AVG(scroll_depth) AS DECIMAL(5, 2)) AS max_scroll_pct
FROM visits
GROUP BY page_url
HAVING SUM(page_views) > 0
ORDER BY page_views DESC, page_url
LIMIT 10
