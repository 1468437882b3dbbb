"""Encoders that were tuned: which one is live on a day, and the pairs they are tuned and compared on."""

import hashlib
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.encoders import Located, encoder_location, encoder_version
from jobs.lake import Lake
from jobs.model_store import local_folder
from jobs.settings import Settings

TABLE = "gold.encoders"
PAIRS = "silver.item_pairs"
HELD_OUT = 10  # every tenth pair, by its hash
Pairs = list[tuple[str, str]]


def base_encoder(settings: Settings) -> Located:
    """The encoder that the settings name, as it came."""
    return Located(encoder_location(settings.encoder), encoder_version(settings.encoder))


def live_encoder(lake: Lake, settings: Settings, day: date) -> Located:
    """The newest tuned encoder that was better by this day; the settings' own where there is none."""
    base = base_encoder(settings)
    rows = _rows(lake, base.version, (ds.field("day") <= day) & ds.field("live"))
    return located(lake, rows[0]["encoder_version"]) if rows else base


def tuned_before(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """What was tuned up to and with this day, newest first."""
    return _rows(lake, base_encoder(settings).version, ds.field("day") <= day)


def kept_pairs(lake: Lake, settings: Settings, day: date) -> tuple[Pairs, Pairs]:
    """The pairs of the days before that the judge kept: those to tune on, and those held out.

    The day's own pairs come from what its test rows tell, which an encoder of that day must not know.
    """
    after = day - timedelta(days=settings.pairs.window_days)
    where = (ds.field("day") >= after) & (ds.field("day") < day) & (ds.field("verdict") == "yes")
    rows = lake.arrow(PAIRS, ["item_a", "item_b"], where).group_by(["item_a", "item_b"]).aggregate([])
    pairs: Pairs = sorted(zip(rows["item_a"].to_pylist(), rows["item_b"].to_pylist(), strict=True))
    out = {pair for pair in pairs if hashlib.sha256("\n".join(pair).encode()).digest()[0] % HELD_OUT == 0}
    return [pair for pair in pairs if pair not in out], sorted(out)


def places(pairs: Pairs, items: list[str]) -> NDArray[np.int64]:
    """[pairs, 2] places in `items`; pairs of an item that is not there are left out."""
    place = {item: n for n, item in enumerate(items)}
    return np.array([(place[a], place[b]) for a, b in pairs if a in place and b in place], np.int64).reshape(-1, 2)


def folder_name(version: str) -> str:
    return f"models/encoders/{version}"


def located(lake: Lake, version: str) -> Located:
    """A tuned encoder."""
    return Located(str(local_folder(lake, folder_name(version))), version)


def _rows(lake: Lake, base: str, where: ds.Expression) -> list[dict[str, Any]]:
    rows = lake.arrow(TABLE, where=where & (ds.field("base_version") == base))
    found: list[dict[str, Any]] = rows.sort_by([("day", "descending")]).to_pylist()
    return found
