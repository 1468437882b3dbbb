"""How well the recommendations of the day before met what users did on the day."""

from datetime import date, timedelta
from typing import Any

import duckdb

from jobs.behaviour import POSITIVE
from jobs.lake import Lake
from jobs.metrics import metric_rows
from jobs.settings import Settings

FIRST = (10, 20)  # of a list
# Users who have a list and acted; what they acted on, with its place in their list and among the most popular items.
_PLACED = """
WITH acted AS (
  SELECT DISTINCT user_id, item_id, day FROM events
  WHERE day BETWEEN $since AND $day AND list_contains($positive, event) AND user_id IS NOT NULL
    AND (event <> 'rating' OR value >= $like_from)
), popular AS (
  SELECT item_id, row_number() OVER (ORDER BY count(*) DESC, item_id) AS place
  FROM acted WHERE day < $day GROUP BY item_id
), wanted AS (
  SELECT user_id, item_id, count(*) OVER (PARTITION BY user_id) AS items FROM acted
  WHERE day = $day AND user_id IN (SELECT user_id FROM lists WHERE day = $before)
)
SELECT user_id, items, l.rank AS live, p.place AS popular
FROM wanted LEFT JOIN (SELECT * FROM lists WHERE day = $before) l USING (user_id, item_id)
LEFT JOIN popular p USING (item_id)
"""
_MEASURED = """
SELECT sum(hits) / sum(items), avg(gain / ideal) FROM (
  SELECT items, count(*) FILTER ({place} <= $k) AS hits,
    coalesce(sum(1 / log2({place} + 1)) FILTER ({place} <= $k), 0) AS gain,
    list_sum(list_transform(range(1, least(items, $k) + 1), lambda n: 1 / log2(n + 1))) AS ideal
  FROM placed GROUP BY user_id, items
)
"""


def measured(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """Rows for gold.metrics of what was recommended the day before (`live`) and of the most popular items.

    hit_rate_at_K  share of what users acted on, item by item, that was among the first K
    ndcg_at_K      the same discounted by the logarithm of the place, of the best possible, mean over users
    """
    values: dict[str, Any] = {
        "day": day,
        "before": day - timedelta(days=1),
        "since": day - timedelta(days=settings.recommend.active_days),
        "positive": list(POSITIVE),
        "like_from": settings.logs.like_from,
    }
    found = []
    with duckdb.connect() as engine:
        engine.register("events", lake.delta("silver.events").to_pyarrow_dataset())
        engine.register("lists", lake.delta("gold.recommendations").to_pyarrow_dataset())
        engine.execute(f"CREATE TABLE placed AS {_PLACED}", values)
        rows = engine.sql("SELECT count(*) FROM placed").fetchall()[0][0]
        for model in ("live", "popular") if rows else ():
            measures: dict[str, float] = {}
            for k in FIRST:
                hits, gain = engine.execute(_MEASURED.format(place=model), {"k": k}).fetchall()[0]
                measures |= {f"hit_rate_at_{k}": hits, f"ndcg_at_{k}": gain}
            found += metric_rows(model, "all", measures, rows=rows)
    return found
