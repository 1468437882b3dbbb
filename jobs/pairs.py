"""Find pairs of items in behaviour: Swing over a window of days.

    python -m jobs.pairs --day 2026-11-20

Reads silver.events, without purchases that were cancelled until the day. Writes silver.item_pairs of the day and source
swing. If such a pair has a verdict already, the pair keeps it.

Work is linear in the events: of a user only the latest `items_per_user` items count, of an item only
`users_per_item` of its users (chosen by hash). An item's score with another item is therefore a part of Swing's sum.
Of the two sides of a pair, the larger part counts. If no cap is reached, both sides are the whole sum.
"""

from datetime import date, timedelta

import pyarrow.dataset as ds

from expectations import silver_item_pairs
from jobs.item_pairs.swing_batches import ITEMS_PER_BATCH, SCORES_DDL, make_swing_scorer
from jobs.lake import JobResult, Lake, arrow_dataset
from jobs.lake.checks import check
from jobs.lake.metrics import replace_metrics
from jobs.lake.session import compute_once
from jobs.lake.staging import Staging
from jobs.landing.cancels import register_cancelled
from jobs.runtime.entry import main
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings

TABLE, SOURCE = "silver.item_pairs", "swing"


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    caps = settings.pairs
    after = day - timedelta(days=caps.window_days)
    window = {"after": after, "day": day, "like_from": settings.logs.like_from}
    report_step = steps()
    report_step("finding who acted on what")
    lake.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", ITEMS_PER_BATCH)
    register_cancelled(lake, after + timedelta(days=1), day)
    items = compute_once(lake.transform("swing_items", **window))
    items.createOrReplaceTempView("swing_items")
    users = lake.transform(
        "swing_users", **window, items_per_user=caps.items_per_user, users_per_item=caps.users_per_item
    )
    users.mapInArrow(make_swing_scorer(caps), SCORES_DDL).createOrReplaceTempView("swing_scores")
    report_step("scoring pairs")
    with Staging(lake) as staging:
        staging.replace(TABLE, lake.transform("swing_pairs", day=day), day=day, source=SOURCE)
        items.unpersist()
        report_step("checking pairs")
        checks = check(lake, TABLE, silver_item_pairs, [day])
    replace_metrics(lake, "pairs", day, checks)
    return _build_result(lake, after, day)


def _build_result(lake: Lake, after: date, day: date) -> JobResult:
    """Count the events of the window, the pairs of the day, and the pairs that kept a verdict."""
    window = (ds.field("day") > after) & (ds.field("day") <= day)
    events = arrow_dataset(lake.delta("silver.events")).count_rows(filter=window)
    written = (ds.field("day") == day) & (ds.field("source") == SOURCE)
    pairs = lake.arrow(TABLE, ["verdict"], written, lake.outputs[TABLE])
    carried = pairs.num_rows - pairs["verdict"].null_count
    return JobResult(events, pairs.num_rows, notes={"pairs": pairs.num_rows, "verdicts_carried": carried})


if __name__ == "__main__":
    main(run)
