"""What an encoder is tuned and compared on: pairs that the judge kept, and the texts of their items."""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.encoders.location import EncoderRef
from jobs.item_pairs.askers import load_asker
from jobs.item_pairs.item_questions import load_questions
from jobs.lake import Lake
from jobs.settings.tree import Settings

TABLE, KEY = "silver.item_pairs", ["item_a", "item_b"]
TUNING_PAIRS = "pairs.parquet"  # in the folder of a tuned encoder
HELD_OUT_EVERY = 10  # every tenth pair is held out, by its hash
Pairs = list[tuple[str, str]]


def load_kept_pairs(lake: Lake, settings: Settings, day: date) -> tuple[Pairs, Pairs]:
    """The pairs of earlier days that the judge kept: those to tune on, and those held out.

    The day's own pairs are left out: they come from the events that the day's test rows predict. The newest day on
    which a pair was judged counts. On that day a yes for one source is enough.
    """
    after = day - timedelta(days=settings.pairs.window_days)
    where = (ds.field("day") >= after) & (ds.field("day") < day) & ds.field("verdict").isin(["yes", "no"])
    rows = lake.arrow(TABLE, [*KEY, "verdict", "day"], where)
    rows = rows.append_column("yes", pc.if_else(pc.equal(rows["verdict"], "yes"), rows["day"], None))
    newest = rows.group_by(KEY).aggregate([("day", "max"), ("yes", "max")])
    pairs = sorted(_read_pairs(newest.filter(pc.equal(newest["day_max"], newest["yes_max"]))))
    held_out = {pair for pair in pairs if hashlib.sha256("\n".join(pair).encode()).digest()[0] % HELD_OUT_EVERY == 0}
    return [pair for pair in pairs if pair not in held_out], sorted(held_out)


def load_tuning_items(lake: Lake, settings: Settings, pairs: Pairs) -> pa.Table:
    """The items of the pairs, sorted by item_id: item_id, content_hash, text, image, questions (with answers)."""
    item_ids = pa.array(sorted({item for pair in pairs for item in pair}), pa.string())
    columns = ["item_id", "content_hash", "text", "image"]
    items = lake.arrow("silver.items", columns, ds.field("item_id").isin(item_ids)).sort_by("item_id")
    questions = load_questions(lake, item_ids, load_asker(settings).version)
    keys = zip(items["item_id"].to_pylist(), items["content_hash"].to_pylist(), strict=True)
    column = pa.array([questions.get(key, []) for key in keys], pa.list_(pa.list_(pa.string())))
    return items.append_column("questions", column)


def save_tuning_pairs(folder: Path, pairs: Pairs) -> None:
    """Write the pairs that an encoder was tuned on into its folder."""
    pq.write_table(pa.table(dict(zip(KEY, zip(*pairs, strict=True), strict=True))), folder / TUNING_PAIRS)


def read_tuning_pairs(encoder: EncoderRef) -> Pairs:
    """The pairs that an encoder was tuned on; empty for a base encoder."""
    file = Path(encoder.location) / TUNING_PAIRS
    return _read_pairs(pq.read_table(file)) if file.is_file() else []


def index_pairs(pairs: Pairs, items: list[str]) -> NDArray[np.int64]:
    """[pairs, 2] the pairs as indices in `items`, without pairs of other items."""
    index = {item: n for n, item in enumerate(items)}
    return np.array([(index[a], index[b]) for a, b in pairs if a in index and b in index], np.int64).reshape(-1, 2)


def _read_pairs(rows: pa.Table) -> Pairs:
    return list(zip(*(rows[name].to_pylist() for name in KEY), strict=True))
