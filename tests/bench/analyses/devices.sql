-- Visits, and those that buy, by device and browser.
WITH session AS (
    SELECT session_id,
           min(device_type) AS device_type,
           min(browser) AS browser,
           bool_or(event_type = 'purchase') AS bought
    FROM {table}
    WHERE session_id IS NOT NULL
    GROUP BY session_id
)
SELECT device_type, browser, count(*) AS sessions, count_if(bought) AS bought
FROM session
GROUP BY device_type, browser
ORDER BY device_type, browser
