"""Find pairs of items in behaviour: Swing over a window of days.

    python -m jobs.pairs --day 2026-11-20

Reads silver.events. Writes silver.item_pairs of the day and source swing. A verdict that such a pair has already
is kept.

Work is linear in the events: a user counts with the latest `items_per_user` items, an item with
`users_per_item` of its users (chosen by hash). An item's score with another is thus a part of Swing's sum;
of the two sides of a pair the larger part counts, and where no cap bites both are the whole sum.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from expectations import silver_item_pairs
from jobs.item_pairs.settings import Pairs
from jobs.lake import JobResult, Lake, arrow_dataset
from jobs.lake.checks import check
from jobs.lake.metrics import replace_metrics
from jobs.runtime.entry import main
from jobs.runtime.executors import send_with_tasks
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings
from models import swing

TABLE, SOURCE = "silver.item_pairs", "swing"
ITEMS_AT_ONCE = 1000  # with all caps reached 16 kB each
SCORES = pa.schema([("item", pa.int32()), ("other", pa.int32()), ("score", pa.float64())])
send_with_tasks(swing.__name__)


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    caps = settings.pairs
    after = day - timedelta(days=caps.window_days)
    window = {"after": after, "day": day, "like_from": settings.logs.like_from}
    step = steps()
    step("finding who acted on what")
    lake.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", ITEMS_AT_ONCE)
    items = lake.transform("swing_items", **window).persist()
    items.createOrReplaceTempView("swing_items")
    users = lake.transform(
        "swing_users", **window, items_per_user=caps.items_per_user, users_per_item=caps.users_per_item
    )
    scores = users.mapInArrow(best_pairs(caps), "item INT, other INT, score DOUBLE")
    scores.createOrReplaceTempView("swing_scores")
    step("scoring pairs")
    lake.replace(TABLE, lake.transform("swing_pairs", day=day), day=day, source=SOURCE)
    items.unpersist()
    step("checking pairs")
    try:
        checks = check(lake, TABLE, silver_item_pairs, [day])
    except BaseException:
        lake.undo(TABLE)
        raise
    replace_metrics(lake, "pairs", day, checks)
    return _told(lake, after, day)


def best_pairs(caps: Pairs) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Rows `item, users` to rows `item, other, score`: each item's closest others."""
    alpha, k = caps.alpha, caps.pairs_per_item

    def score(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            yield _score(batch, alpha, k)

    return score


def _score(batch: pa.RecordBatch, alpha: float, k: int) -> pa.RecordBatch:
    """One batch; the columns are cut by their offsets, as Python objects would cost more than the sums."""
    targets, users = batch["item"].to_numpy(), batch["users"]
    weights, lists = users.flatten().field("weight").to_numpy(), users.flatten().field("items")
    user_at = np.concatenate([[0], np.cumsum(pc.list_value_length(users).to_numpy())])
    lengths = pc.list_value_length(lists).to_numpy()
    entry_at = np.concatenate([[0], np.cumsum(lengths)])
    entries = lists.flatten().to_numpy()
    found = [SCORES.empty_table()]
    for target, start, end in zip(targets, user_at[:-1], user_at[1:], strict=True):
        mine = entries[entry_at[start] : entry_at[end]]
        others, scores = swing.swing(mine, lengths[start:end], weights[start:end], alpha)
        others, scores = others[others != target], scores[others != target]
        best = swing.top(others, scores, k)
        found.append(pa.table([np.full(len(best), target), others[best], scores[best]], schema=SCORES))
    return pa.concat_tables(found).combine_chunks().to_batches()[0]


def _told(lake: Lake, after: date, day: date) -> JobResult:
    window = (ds.field("day") > after) & (ds.field("day") <= day)
    events = arrow_dataset(lake.delta("silver.events")).count_rows(filter=window)
    mine = (ds.field("day") == day) & (ds.field("source") == SOURCE)
    pairs = lake.arrow(TABLE, ["verdict"], mine, lake.outputs[TABLE])
    carried = pairs.num_rows - pairs["verdict"].null_count
    return JobResult(events, pairs.num_rows, notes={"pairs": pairs.num_rows, "verdicts_carried": carried})


if __name__ == "__main__":
    main(run)
