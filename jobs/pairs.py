"""Find pairs of items in behaviour: Swing over a window of days.

    python -m jobs.pairs --day 2026-11-20

Reads silver.histories, without purchases that were cancelled until the day. Writes silver.item_pairs of the day and
source swing. If such a pair has a verdict already, the pair keeps it.

Work is linear in the events: of a user only the latest `items_per_user` items count, of an item only
`users_per_item` of its users (chosen by hash). An item's score with another item is therefore a part of Swing's sum.
Of the two sides of a pair, the larger part counts. If no cap is reached, both sides are the whole sum.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from expectations import silver_item_pairs
from jobs.item_pairs.settings import Pairs
from jobs.item_pairs.swing_batches import ITEMS_PER_BATCH, NEW_PAIRS, SCORES, SCORES_DDL, make_swing_scorer
from jobs.lake import JobResult, Lake
from jobs.lake.checks import check
from jobs.lake.metrics import replace_metrics
from jobs.lake.reader import Stream
from jobs.lake.rows import SPARK_FROM_ROWS, Rows
from jobs.lake.session import compute_once
from jobs.lake.staging import Staging
from jobs.landing.cancels import load_cancelled, register_cancelled
from jobs.runtime.entry import main
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings

TABLE, SOURCE = "silver.item_pairs", "swing"
ITEMS_IN_PROCESS = 200_000  # at once: DuckDB holds the lists of their users in memory


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    after = day - timedelta(days=settings.pairs.window_days)
    window = {"after": after, "day": day, "like_from": settings.logs.like_from}
    report_step = steps()
    report_step("finding pairs")
    in_process = lake.count_rows("silver.histories", after + timedelta(days=1), day) < SPARK_FROM_ROWS
    find = _find_in_process if in_process else _find_on_spark
    with Staging(lake) as staging:
        with find(lake, settings.pairs, window) as pairs:
            staging.replace(TABLE, pairs, day=day, source=SOURCE)
        report_step("checking pairs")
        checks = check(lake, TABLE, silver_item_pairs, [day])
    replace_metrics(lake, "pairs", day, checks)
    return _build_result(lake, after, day)


@contextmanager
def _find_in_process(lake: Lake, caps: Pairs, window: dict[str, Any]) -> Iterator[Rows]:
    """The day's pairs, by DuckDB and by this process, as a stream."""
    cancelled = load_cancelled(lake, window["after"] + timedelta(days=1), window["day"])
    items = lake.query_transform("swing_items", {"cancelled": cancelled}, **window)
    tables = {"cancelled": cancelled, "swing_items": items}
    parts = 1 + len(items) // ITEMS_IN_PROCESS

    def score() -> Iterator[pa.RecordBatch]:
        for part in range(parts):
            users = lake.stream_transform("swing_users", tables, **window, **_limits(caps), part=part, parts=parts)
            yield from make_swing_scorer(caps)(users)

    pairs = lake.stream_transform("swing_pairs", {"swing_items": items, "swing_scores": Stream(SCORES, score())})
    views = {"new_pairs": Stream(NEW_PAIRS, pairs)}
    yield lake.stream_transform("carry_verdicts", views, source=SOURCE, day=window["day"])


@contextmanager
def _find_on_spark(lake: Lake, caps: Pairs, window: dict[str, Any]) -> Iterator[Rows]:
    """The same on Spark's executors."""
    lake.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", ITEMS_PER_BATCH)
    register_cancelled(lake, window["after"] + timedelta(days=1), window["day"])
    items = compute_once(lake.transform("swing_items", **window))
    items.createOrReplaceTempView("swing_items")
    users = lake.transform("swing_users", **window, **_limits(caps), part=0, parts=1)
    users.mapInArrow(make_swing_scorer(caps), SCORES_DDL).createOrReplaceTempView("swing_scores")
    lake.transform("swing_pairs").createOrReplaceTempView("new_pairs")
    try:
        yield lake.transform("carry_verdicts", source=SOURCE, day=window["day"])
    finally:
        items.unpersist()


def _limits(caps: Pairs) -> dict[str, int]:
    return {"items_per_user": caps.items_per_user, "users_per_item": caps.users_per_item}


def _build_result(lake: Lake, after: date, day: date) -> JobResult:
    """Count what users did in the window, the pairs of the day, and the pairs that kept a verdict."""
    events = lake.count_rows("silver.histories", after + timedelta(days=1), day)
    written = (ds.field("day") == day) & (ds.field("source") == SOURCE)
    pairs = lake.arrow(TABLE, ["verdict"], written, lake.outputs[TABLE])
    carried = pairs.num_rows - pairs["verdict"].null_count
    return JobResult(events, pairs.num_rows, notes={"pairs": pairs.num_rows, "verdicts_carried": carried})


if __name__ == "__main__":
    main(run)
