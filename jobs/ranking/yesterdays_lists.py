"""The hit rate of yesterday's lists: how many of the recommended items users acted on today."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.lake import Lake
from jobs.lake.metrics import metric_rows
from jobs.landing.cancels import load_cancelled
from jobs.ranking.settings import SOURCES, Source
from jobs.ranking.user_sample import IS_SAMPLED, user_bound
from jobs.settings.tree import Settings

LENGTHS = (10, 20)  # how much of a list is measured
_ACTED = """SELECT DISTINCT user_id, item_id
  FROM silver.histories ANTI JOIN {cancelled} USING (event, day, event_id, item_id)
  WHERE day >= :{first} AND day <= :{last} AND event IN ('click', 'purchase', 'rating')
    AND (event <> 'rating' OR value >= :like_from)"""
_CANCELLED = """{table} AS (
  SELECT 'purchase' AS event, unnest(CAST(:{table}_days AS DATE[])) AS day,
    unnest(CAST(:{table}_ids AS VARCHAR[])) AS event_id, unnest(CAST(:{table}_items AS VARCHAR[])) AS item_id
)"""
# One row for each item that a user with a list acted on: its rank in the user's list (live) and among the most popular
# items (popular). If lists leave out items that the user acted on before, such items cannot be hits: they are not
# counted, and they get no rank among the popular items.
_RANKS = f"""
WITH {_CANCELLED.format(table="cancelled_today")}, {_CANCELLED.format(table="cancelled_before")},
lists AS (SELECT * FROM ({{lists}}) WHERE {IS_SAMPLED}),
wanted AS (
  {_ACTED.format(cancelled="cancelled_today", first="day", last="day")} AND user_id IN (SELECT user_id FROM lists)
), seen AS (
  {_ACTED.format(cancelled="cancelled_before", first="beginning", last="before")}
    AND user_id IN (SELECT user_id FROM wanted) AND :exclude_seen
),
popular AS (
  SELECT item_id, row_number() OVER (ORDER BY count(*) DESC, item_id) AS place
  FROM ({_ACTED.format(cancelled="cancelled_before", first="since", last="before")}) GROUP BY item_id
), placed AS (
  SELECT w.user_id, w.item_id, l.rank AS live, p.place, 0 AS seen FROM wanted w ANTI JOIN seen USING (user_id, item_id)
  LEFT JOIN lists l USING (user_id, item_id) LEFT JOIN popular p USING (item_id)
  UNION ALL SELECT user_id, item_id, NULL, place, 1 FROM seen JOIN popular USING (item_id)
)
SELECT user_id, item_id, live, popular FROM (
  SELECT *, place - sum(seen) OVER (PARTITION BY user_id ORDER BY place NULLS LAST) AS popular FROM placed
) WHERE seen = 0 ORDER BY user_id, item_id
"""

_SOURCES = "SELECT sources FROM gold.recommendations JOIN hits USING (user_id, item_id) WHERE day = :before"


def measure_yesterdays_lists(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """Rows for gold.metrics about yesterday's lists (`live`) and about the most popular items (`popular`).

    hit_rate_at_K  of all items that users with a list acted on, the share that was among the first K. Items that a user
                   acted on before count only if lists contain such items. A purchase that was cancelled does not count
    ndcg_at_K      the same, where a hit counts less by the logarithm of its rank, divided by the best possible value;
                   mean over users
    hit_rate, hit_rate_alone  for each source of candidates, in the slice sources: of all items that users acted on, the
                   share that was in the list and that the source had found; and that no other source had found
    """
    text = "SELECT user_id, item_id, rank FROM gold.recommendations WHERE day = :before"
    ranks = load_ranks(lake, settings, day, text, settings.recommend.exclude_seen)
    if not ranks.num_rows:
        return []
    user = np.unique(ranks["user_id"].to_numpy(), return_inverse=True)[1]
    rows = []
    for source in ("live", "popular"):
        rank = ranks[source].cast(pa.float64()).fill_null(np.inf).to_numpy()
        values: dict[str, float] = {}
        for k in (k for k in LENGTHS if k <= settings.recommend.k):
            values |= {f"hit_rate_at_{k}": float((rank <= k).mean()), f"ndcg_at_{k}": _mean_ndcg(user, rank, k)}
        rows += metric_rows(source, "all", values, rows=len(user))
    sources = [name for name in SOURCES if name != "generator" or settings.generator.preset != "graph"]
    return rows + _measure_sources(lake, ranks, day - timedelta(days=1), sources)


def _measure_sources(lake: Lake, ranks: pa.Table, before: date, sources: list[Source]) -> list[dict[str, Any]]:
    """Rows for gold.metrics about the sources of the items that users acted on. None if the lists name no sources."""
    hits = ranks.filter(pc.is_valid(ranks["live"]))
    names = lake.query(_SOURCES, {"hits": hits}, before=before)["sources"].drop_null().to_pylist()
    rows: list[dict[str, Any]] = []
    for source in sources if names else ():
        values = {
            "hit_rate": sum(source in found_by for found_by in names) / ranks.num_rows,
            "hit_rate_alone": sum(found_by == [source] for found_by in names) / ranks.num_rows,
        }
        rows += metric_rows(source, "sources", values, rows=ranks.num_rows)
    return rows


def load_ranks(
    lake: Lake,
    settings: Settings,
    day: date,
    lists: str,
    exclude_seen: bool,
    views: Mapping[str, pa.Table] | None = None,
    **parameters: str,
) -> pa.Table:
    """The ranks of the items that users acted on: in their list of the day before, and among the popular items.

    lists         SQL that selects `user_id, item_id, rank` from a table of lists, of the day `:before`; it may have
                  further parameters
    views         further tables that `lists` names
    exclude_seen  whether the lists leave out what users acted on before
    returns       rows `user_id, item_id, live, popular`, for each user of the sample in the lists and each item that
                  counts
    """
    beginning, before = date(1970, 1, 1), day - timedelta(days=1)
    return lake.query(
        _RANKS.format(lists=lists),
        views,
        day=day,
        before=before,
        since=day - timedelta(days=settings.recommend.active_days),
        beginning=beginning,
        like_from=settings.logs.like_from,
        exclude_seen=exclude_seen,
        user_bound=user_bound(settings.logs.user_share),
        **_list_cancelled("cancelled_today", load_cancelled(lake, day, day)),
        **_list_cancelled("cancelled_before", load_cancelled(lake, beginning, before)),
        **parameters,
    )


def _list_cancelled(table: str, cancelled: pa.Table) -> dict[str, list[Any]]:
    """The parameters of _CANCELLED."""
    columns = {"days": "day", "ids": "event_id", "items": "item_id"}
    return {f"{table}_{name}": cancelled[column].to_pylist() for name, column in columns.items()}


def _mean_ndcg(user: NDArray[np.int64], rank: NDArray[np.float64], k: int) -> float:
    """Mean NDCG at k over users. rank [rows]: of each item that the user [rows] acted on, from 1"""
    gain = np.bincount(user, np.where(rank <= k, 1 / np.log2(rank + 1), 0.0))
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])
    return float((gain / best[np.minimum(np.bincount(user), k)]).mean())
