-- Where visitors are: events, people, visits and purchases by city.
SELECT country,
       city,
       count(*) AS events,
       count(DISTINCT user_id) AS users,
       count(DISTINCT session_id) AS sessions,
       count_if(event_type = 'purchase') AS purchases
FROM {table}
GROUP BY country, city
ORDER BY country, city
