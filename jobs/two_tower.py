"""Find pairs of items by a two-tower model: what users act on, and what is most like it in their own past.

    python -m jobs.two_tower --day 2026-11-20

Reads gold.samples and silver.events. Writes silver.item_pairs of the day and source two_tower. A verdict that
such a pair has already is kept. No JVM is started: the constraints of silver.item_pairs check the rows.

The model knows items by their IDs alone: pairs must not depend on the encoder that is tuned on them.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.arrow import distinct_strings, rows_with_keys
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.dataset import TASKS, rows_of
from jobs.ranking.histories import load_histories, positive_events
from jobs.ranking.items import Items
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.precision import device
from models.two_tower import Positives, TwoTower, fit, hit_rate, popularity_hit_rate, split_by_time, vectors
from models.user2item import user2item

TABLE, SOURCE = "silver.item_pairs", "two_tower"
KEY, GIVEN = ["item_a", "item_b"], ["verdict", "reason", "judge_version", "judge_seconds"]
FEWEST = 100  # rows with a history; fewer teach nothing
HELD_OUT = 0.1  # of the rows, the latest: they measure the model before it learns from them too
MEASURED = 10_000  # of these at most
FIRST = 50  # of all items, among which a held-out one should be


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    items, data = load_positives(lake, settings, day)
    a, b, score = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    measured: list[dict[str, Any]] = []
    notes: dict[str, Any] = {"skipped": f"{len(data)} positives with a history; {FEWEST} are needed"}
    if len(data) >= FEWEST:
        model, measured = train(data, len(items.ids), settings)
        a, b, score = user2item(vectors(model), data, pairs_per_item=settings.pairs.pairs_per_item)
        notes = {row["metric"]: row["value"] for row in measured if row["model"] == SOURCE}
    found = pa.table({"item_a": items.ids.take(pa.array(a)), "item_b": items.ids.take(pa.array(b)), "score": score})
    pairs = with_verdicts(lake, found, day)
    lake.replace(TABLE, pairs, day=day, source=SOURCE)
    measured += metric_rows(SOURCE, "all", {"pairs": len(a)}, rows=len(data))
    replace_metrics(lake, "two_tower", day, measured)
    carried = pairs.num_rows - pairs["verdict"].null_count
    return JobResult(len(data), len(a), notes=notes | {"pairs": len(a), "verdicts_carried": carried})


def load_positives(lake: Lake, settings: Settings, day: date) -> tuple[Items, Positives]:
    """The window's samples that were acted on by users with a history, and all items ever acted on until the day."""
    seen = positive_events(lake, settings, day, ["item_id"])
    items = Items(distinct_strings(batch["item_id"] for batch in seen))
    window = (ds.field("day") > day - timedelta(days=settings.pairs.window_days)) & (ds.field("day") <= day)
    acted = (ds.field("click") == 1) | (ds.field("purchase") == 1) | (ds.field("like") == 1)
    samples = lake.arrow("gold.samples", ["user_id", "item_id", "ts", "history_until", *TASKS], window & acted)
    main_task = next((task for task in TASKS if pc.any(pc.equal(samples[task], 1)).as_py()), TASKS[0])
    samples = samples.filter(ds.field(main_task) == 1)
    users, histories = load_histories(lake, settings, items, day, samples["user_id"])
    rows = rows_of(samples, users, items, histories)
    rows = rows.take((rows.length > 0) & (rows.target >= 0))
    return items, Positives(histories, rows.user, rows.target, rows.end, rows.ts)


def train(data: Positives, n_items: int, settings: Settings) -> tuple[TwoTower, list[dict[str, Any]]]:
    """A model of all rows, and metric rows of how well it foresaw the latest before it learned from them.

    raises  UserError if training went astray: no pair would be found, and those of the day be lost
    """
    s = settings.two_tower
    model = TwoTower(n_items=n_items, dim=s.dim, seed=s.seed).to(device())
    earlier, later = split_by_time(data, HELD_OUT)
    tell = progress("training two towers")
    losses = fit(model, earlier, seed=s.seed, epochs=s.epochs, batch_size=s.batch, lr=s.lr, progress=tell)
    if not np.isfinite(losses[-1]):
        raise UserError(f"training two towers went astray: the loss is no number; lower two_tower.lr (now {s.lr:g})")
    measured = metric_rows(SOURCE, "all", {"train_loss": losses[-1]}, rows=len(earlier))
    later = later.take(np.sort(np.random.default_rng(s.seed).permutation(len(later))[:MEASURED]))
    popular = popularity_hit_rate(earlier, later, n_items=n_items, k=FIRST)
    for name, hits in ((SOURCE, hit_rate(model, later, k=FIRST)), ("popularity", popular)):
        measured += metric_rows(name, "held_out", {f"hr_at_{FIRST}": hits}, rows=len(later))
    fit(model, data, seed=s.seed, epochs=1, batch_size=s.batch, lr=s.lr)
    return model, measured


def with_verdicts(lake: Lake, pairs: pa.Table, day: date) -> pa.Table:
    """The pairs as rows of the table, with the verdict that this day has given them, else the newest other day."""
    mine = (ds.field("source") == SOURCE) & ds.field("verdict").is_valid()
    of, names = [tuple(pair.values()) for pair in pairs.select(KEY).to_pylist()], [*KEY, *GIVEN, "day"]
    wanted, newest = set(of), dict[tuple[str, ...], tuple[tuple[bool, date], list[Any]]]()
    for batch in lake.batches(TABLE, names, mine):  # a stream, as the table grows by the day
        found = rows_with_keys(batch, KEY, wanted)
        for a, b, *given, on in zip(*(found[name].to_pylist() for name in names), strict=True):
            if (a, b) not in newest or newest[a, b][0] < (on == day, on):
                newest[a, b] = (on == day, on), given
    rows = pairs
    for place, name in enumerate(GIVEN):
        field = contracts()[TABLE].arrow.field(name)
        values = [newest[pair][1][place] if pair in newest else None for pair in of]
        rows = rows.append_column(field, pa.array(values, field.type))
    rows = rows.append_column("source", pa.repeat(SOURCE, len(rows))).append_column(
        "day", pa.repeat(pa.scalar(day), len(rows))
    )
    return rows.select(contracts()[TABLE].names).sort_by([(name, "ascending") for name in KEY])


if __name__ == "__main__":
    main(run)
