"""Encoders that were tuned: which one is live on a day, and the pairs they are tuned and compared on."""

import hashlib
import re
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.encoders.location import EncoderRef, encoder_location, encoder_version
from jobs.encoders.settings import Encoder
from jobs.lake import Lake
from jobs.release.model_store import local_folder, stored
from jobs.release.releases import live
from jobs.settings.tree import Settings

TABLE = "gold.encoders"
PAIRS, KEY = "silver.item_pairs", ["item_a", "item_b"]
TUNED_ON = "pairs.parquet"
HELD_OUT = 10  # every tenth pair, by its hash
Pairs = list[tuple[str, str]]


def base_encoder(settings: Settings) -> EncoderRef:
    """The encoder that the settings name, as it came."""
    return EncoderRef(encoder_location(settings.encoder), encoder_version(settings.encoder))


def live_encoder(lake: Lake, settings: Settings, day: date) -> EncoderRef:
    """The newest tuned encoder that was better by this day; the settings' own where there is none or none is wanted."""
    base = base_encoder(settings)
    if not settings.align.every_days:
        return base
    rows = _rows(lake, base.version, (ds.field("day") <= day) & ds.field("live"))
    return located(lake, rows[0]["encoder_version"]) if rows else base


def champion_encoder(lake: Lake, settings: Settings, day: date, now: EncoderRef) -> tuple[EncoderRef, Settings] | None:
    """The encoder of the release that is live before this day, and the settings with its token limit.

    None if there is no release, if its encoder is the one of `now`, or if it is neither in the lake nor named by the
    settings nor the default one.
    """
    release = live(lake, before=str(day))
    if release is None or release["encoder_version"] == now.version:
        return None
    version = release["encoder_version"]
    limits = re.findall(r"-t(\d+)", version)
    limit = int(limits[-1]) if limits else settings.encoder.max_tokens
    then = settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"max_tokens": limit})})
    if stored(lake, folder_name(version)):
        return located(lake, version), then
    default = then.model_copy(update={"encoder": then.encoder.model_copy(update={"model": Encoder().model})})
    for one in map(base_encoder, (then, default)):
        if one.version == version:
            return one, then
    print(f"the live model's encoder {version} is not at hand: new items get no vector of it", file=sys.stderr)
    return None


def tuned_before(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """What was tuned up to and with this day, newest first."""
    return _rows(lake, base_encoder(settings).version, ds.field("day") <= day)


def kept_pairs(lake: Lake, settings: Settings, day: date) -> tuple[Pairs, Pairs]:
    """The pairs of the days before that the judge kept: those to tune on, and those held out.

    The day's own pairs come from what its test rows tell, which an encoder of that day must not know. The newest day
    that judged a pair counts, and of its sources one that says yes is enough.
    """
    after = day - timedelta(days=settings.pairs.window_days)
    where = (ds.field("day") >= after) & (ds.field("day") < day) & ds.field("verdict").isin(["yes", "no"])
    rows = lake.arrow(PAIRS, [*KEY, "verdict", "day"], where)
    rows = rows.append_column("yes", pc.if_else(pc.equal(rows["verdict"], "yes"), rows["day"], None))
    newest = rows.group_by(KEY).aggregate([("day", "max"), ("yes", "max")])
    pairs = sorted(_tuples(newest.filter(pc.equal(newest["day_max"], newest["yes_max"]))))
    out = {pair for pair in pairs if hashlib.sha256("\n".join(pair).encode()).digest()[0] % HELD_OUT == 0}
    return [pair for pair in pairs if pair not in out], sorted(out)


def keep_pairs(folder: Path, pairs: Pairs) -> None:
    """Write what an encoder was tuned on beside it."""
    pq.write_table(pa.table(dict(zip(KEY, zip(*pairs, strict=True), strict=True))), folder / TUNED_ON)


def pairs_of(encoder: EncoderRef) -> Pairs:
    """What an encoder was tuned on; nothing, if it was not."""
    file = Path(encoder.location) / TUNED_ON
    return _tuples(pq.read_table(file)) if file.is_file() else []


def places(pairs: Pairs, items: list[str]) -> NDArray[np.int64]:
    """[pairs, 2] places in `items`; pairs of an item that is not there are left out."""
    place = {item: n for n, item in enumerate(items)}
    return np.array([(place[a], place[b]) for a, b in pairs if a in place and b in place], np.int64).reshape(-1, 2)


def folder_name(version: str) -> str:
    return f"models/encoders/{version}"


def located(lake: Lake, version: str) -> EncoderRef:
    """A tuned encoder."""
    return EncoderRef(str(local_folder(lake, folder_name(version))), version)


def _tuples(rows: pa.Table) -> Pairs:
    return list(zip(*(rows[name].to_pylist() for name in KEY), strict=True))


def _rows(lake: Lake, base: str, where: ds.Expression) -> list[dict[str, Any]]:
    rows = lake.arrow(TABLE, where=where & (ds.field("base_version") == base))
    found: list[dict[str, Any]] = rows.sort_by([("day", "descending")]).to_pylist()
    return found
