"""Find pairs of items by a two-tower model: what users act on, and the most similar item of their own history.

    python -m jobs.two_tower --day 2026-11-20

Reads gold.samples and silver.histories. Writes silver.item_pairs of the day and source two_tower, and gold.metrics. If
such a pair has a verdict already, the pair keeps it. This task starts no JVM: the constraints of silver.item_pairs
check the rows.

The model knows items by their IDs alone: pairs must not depend on the encoder that is tuned on them.
"""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.item_pairs.two_tower_training import load_positives, train_two_towers
from jobs.item_pairs.verdicts import carry_verdicts
from jobs.lake import JobResult, Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.runtime.entry import main
from jobs.settings.tree import Settings
from models.two_tower import item_vectors
from models.user2item import find_user2item_pairs

TABLE, SOURCE = "silver.item_pairs", "two_tower"
MIN_POSITIVES = 100  # from fewer rows a model learns nothing


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    items, data = load_positives(lake, settings, day)
    a, b, score = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    metrics: list[dict[str, Any]] = []
    notes: dict[str, Any] = {"skipped": f"{len(data)} positives with a history; {MIN_POSITIVES} are needed"}
    if len(data) >= MIN_POSITIVES:
        model, metrics = train_two_towers(data, len(items.ids), settings)
        a, b, score = find_user2item_pairs(item_vectors(model), data, pairs_per_item=settings.pairs.pairs_per_item)
        notes = {row["metric"]: row["value"] for row in metrics if row["model"] == SOURCE}
    pairs = pa.table({"item_a": items.ids.take(pa.array(a)), "item_b": items.ids.take(pa.array(b)), "score": score})
    rows = carry_verdicts(lake, pairs, SOURCE, day)
    lake.replace(TABLE, rows, day=day, source=SOURCE)
    metrics += metric_rows(SOURCE, "all", {"pairs": len(a)}, rows=len(data))
    replace_metrics(lake, "two_tower", day, metrics)
    carried = rows.num_rows - rows["verdict"].null_count
    return JobResult(len(data), len(a), notes=notes | {"pairs": len(a), "verdicts_carried": carried})


if __name__ == "__main__":
    main(run)
