"""The two-tower model of a day: the positives that it learns from, its training, and how well it predicts."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake, UserError
from jobs.lake.arrow import distinct_strings
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows
from jobs.ranking.dataset import LABEL_TIMES, TASKS, build_rows
from jobs.ranking.event_log import read_positive_events
from jobs.ranking.histories import load_histories_of
from jobs.ranking.items import ItemIndex
from jobs.ranking.user_sample import keep_sampled
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.precision import device
from models.two_tower import Positives, TwoTower, fit, hit_rate, popularity_hit_rate, split_by_time

MODEL = "two_tower"  # its name in gold.metrics
HELD_OUT = 0.1  # share of the rows, the latest ones: they measure the model before it learns from them too
MEASURED_ROWS = 10_000  # most held-out rows that are measured
HIT_RATE_K = 50  # a hit: the held-out item is among the 50 items with the highest scores


def load_positives(lake: Lake, settings: Settings, day: date) -> tuple[ItemIndex, Positives]:
    """Load the positive samples of the window whose users are in the sample and have a history.

    returns  all items that had a positive event until the day; the samples
    """
    events = read_positive_events(lake, settings, day, ["item_id"])
    items = ItemIndex(distinct_strings(batch["item_id"] for batch in events))
    window = (ds.field("day") > day - timedelta(days=settings.pairs.window_days)) & (ds.field("day") <= day)
    is_positive = (ds.field("click") == 1) | (ds.field("purchase") == 1) | (ds.field("like") == 1)
    columns = ["user_id", "item_id", "ts", "history_until", *TASKS, *LABEL_TIMES.values()]
    batches = keep_sampled(settings.logs.user_share, lake.batches("gold.samples", columns, window & is_positive))
    contract = contracts()["gold.samples"].arrow
    samples = pa.Table.from_batches(batches, pa.schema([contract.field(name) for name in columns]))
    main_task = next((task for task in TASKS if pc.any(pc.equal(samples[task], 1)).as_py()), TASKS[0])
    samples = samples.filter(ds.field(main_task) == 1)
    users = distinct_strings(samples["user_id"].chunks)
    histories = load_histories_of(lake, settings, items, day, users)
    rows = build_rows(samples, users, items, histories, known_until=np.datetime64(day) + 1)
    is_positive_yet = rows.labels[:, TASKS.index(main_task)] == 1
    rows = rows.take(is_positive_yet & (rows.length > 0) & (rows.target >= 0))
    return items, Positives(histories, rows.user, rows.target, rows.end, rows.ts)


def train_two_towers(data: Positives, n_items: int, settings: Settings) -> tuple[TwoTower, list[dict[str, Any]]]:
    """Train on the earlier rows, measure on the latest rows, then train on all rows.

    returns  the model; metric rows of how well it predicted the latest rows before it learned from them
    raises   UserError if training diverged: otherwise the day would lose the pairs that it has
    """
    s = settings.two_tower
    model = TwoTower(n_items=n_items, dim=s.dim, seed=s.seed).to(device())
    earlier, later = split_by_time(data, HELD_OUT)
    report_progress = progress("training two towers")
    losses = fit(model, earlier, seed=s.seed, epochs=s.epochs, batch_size=s.batch, lr=s.lr, progress=report_progress)
    if not np.isfinite(losses[-1]):
        raise UserError(f"training two towers diverged: the loss is not finite; lower two_tower.lr (now {s.lr:g})")
    metrics = metric_rows(MODEL, "all", {"train_loss": losses[-1]}, rows=len(earlier))
    later = later.take(np.sort(np.random.default_rng(s.seed).permutation(len(later))[:MEASURED_ROWS]))
    popularity_hits = popularity_hit_rate(earlier, later, n_items=n_items, k=HIT_RATE_K)
    for name, hits in ((MODEL, hit_rate(model, later, k=HIT_RATE_K)), ("popularity", popularity_hits)):
        metrics += metric_rows(name, "held_out", {f"hr_at_{HIT_RATE_K}": hits}, rows=len(later))
    fit(model, data, seed=s.seed, epochs=1, batch_size=s.batch, lr=s.lr)
    return model, metrics
