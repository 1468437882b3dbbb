"""The hit rate of what `generate` found the day before: how many of the items that users acted on today it holds."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from jobs.generation.shards import POPULAR, TABLE
from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings
from jobs.lake.metrics import metric_rows
from jobs.ranking.yesterdays_lists import load_ranks
from jobs.settings.tree import Settings

LENGTHS = (10, 50)  # how much of a list is measured
_LISTS = """SELECT user_id, item_id, min(CASE WHEN source = :source THEN rank END) AS rank
  FROM gold.generated WHERE day = :before GROUP BY user_id, item_id"""


def measure_yesterdays_lists(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """Rows for gold.metrics about what each source found the day before, and about the most popular items.

    hit_rate_at_K  of all items that users with a list acted on for the first time, the share that was among the first
                   K of the source. A user for whom the source found nothing counts, too
    """
    where = ds.field("day") == day - timedelta(days=1)
    sources = distinct_strings(batch["source"] for batch in lake.batches(TABLE, ["source"], where)).to_pylist()
    ranks = {source: load_ranks(lake, settings, day, _LISTS, exclude_seen=True, source=source) for source in sources}
    columns = {source: table["live"] for source, table in ranks.items()}
    for table in ranks.values():
        columns[POPULAR] = table["popular"]  # the same in each table, for all users
    rows: list[dict[str, Any]] = []
    for source, column in columns.items():
        if len(column):
            rank = column.cast(pa.float64()).fill_null(np.inf).to_numpy()
            lengths = [k for k in LENGTHS if k <= settings.generator.k]
            values = {f"hit_rate_at_{k}": float((rank <= k).mean()) for k in lengths}
            rows += metric_rows(source, "all", values, rows=len(rank))
    return rows
