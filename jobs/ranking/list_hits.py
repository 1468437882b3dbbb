"""How well the recommendations of the day before met what users did on the day."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.lake import Lake
from jobs.lake.metrics import metric_rows
from jobs.settings.tree import Settings

FIRST = (10, 20)  # of a list
_DONE = """SELECT DISTINCT user_id, item_id FROM silver.events
  WHERE day >= :{first} AND day <= :{last} AND event IN ('click', 'purchase', 'rating')
    AND (event <> 'rating' OR value >= :like_from) AND user_id IS NOT NULL"""
# What users who have a list acted on, with its place in their list and among the most popular items. Where lists leave
# out what a user acted on before, that is neither asked for nor has a place among the popular items.
_PLACED = f"""
WITH lists AS (SELECT user_id, item_id, rank FROM gold.recommendations WHERE day = :before),
wanted AS ({_DONE.format(first="day", last="day")} AND user_id IN (SELECT user_id FROM lists)),
seen AS (
  {_DONE.format(first="beginning", last="before")} AND user_id IN (SELECT user_id FROM wanted) AND :exclude_seen
),
popular AS (
  SELECT item_id, row_number() OVER (ORDER BY count(*) DESC, item_id) AS place
  FROM ({_DONE.format(first="since", last="before")}) GROUP BY item_id
), placed AS (
  SELECT w.user_id, w.item_id, l.rank AS live, p.place, 0 AS seen FROM wanted w ANTI JOIN seen USING (user_id, item_id)
  LEFT JOIN lists l USING (user_id, item_id) LEFT JOIN popular p USING (item_id)
  UNION ALL SELECT user_id, item_id, NULL, place, 1 FROM seen JOIN popular USING (item_id)
)
SELECT user_id, live, popular FROM (
  SELECT *, place - sum(seen) OVER (PARTITION BY user_id ORDER BY place NULLS LAST) AS popular FROM placed
) WHERE seen = 0 ORDER BY user_id, item_id
"""


def measured(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """Rows for gold.metrics of what was recommended the day before (`live`) and of the most popular items.

    hit_rate_at_K  share of what users with a list acted on, item by item, that was among the first K; what they acted
                   on before counts only where lists hold such items
    ndcg_at_K      the same discounted by the logarithm of the place, of the best possible, mean over users
    """
    placed = lake.query(
        _PLACED,
        day=day,
        before=day - timedelta(days=1),
        since=day - timedelta(days=settings.recommend.active_days),
        beginning=date(1970, 1, 1),
        like_from=settings.logs.like_from,
        exclude_seen=settings.recommend.exclude_seen,
    )
    if not placed.num_rows:
        return []
    user = np.unique(placed["user_id"].to_numpy(), return_inverse=True)[1]
    found = []
    for model in ("live", "popular"):
        place = placed[model].cast(pa.float64()).fill_null(np.inf).to_numpy()
        measures: dict[str, float] = {}
        for k in (k for k in FIRST if k <= settings.recommend.k):
            measures |= {f"hit_rate_at_{k}": float((place <= k).mean()), f"ndcg_at_{k}": _ndcg(user, place, k)}
        found += metric_rows(model, "all", measures, rows=len(user))
    return found


def _ndcg(user: NDArray[np.int64], place: NDArray[np.float64], k: int) -> float:
    """Mean over users; what each user acted on [rows] stands at these places from 1."""
    gain = np.bincount(user, np.where(place <= k, 1 / np.log2(place + 1), 0.0))
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])
    return float((gain / best[np.minimum(np.bincount(user), k)]).mean())
