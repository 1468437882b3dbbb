"""Lands small files that become large in memory, for the bench `fuzz_landing`."""

import gzip
import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from common import PeakMemory
from fuzz_files import DAY, FuzzFile
from fuzz_land import Expected, Fate, land_files

MAX_MIB = 300  # more than this is too much
BYTES = 2 << 30
HEADER = b"event_id,item_id,event,ts\n"


def _zip(start: bytes, part: bytes) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        file.write(start)
        block = part * ((4 << 20) // len(part))
        for _ in range(BYTES // len(block)):
            file.write(block)
    return out.getvalue()


def _write_parquet() -> bytes:
    """A text of a megabyte that a dictionary repeats in 2,048 rows."""
    rows, out = BYTES >> 20, io.BytesIO()
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * (1 << 20)]))
    names = [str(n) for n in range(rows)]
    table = {"event_id": names, "item_id": names, "event": ["click"] * rows, "ts": [str(DAY)] * rows, "note": text}
    pq.write_table(pa.table(table), out)
    return out.getvalue()


NO_END = "has a row without an end"
BOMBS: dict[str, tuple[str, Callable[[], bytes], Expected]] = {
    "bomb: 2 GB of zeros": ("events-bomb.jsonl.gz", lambda: _zip(b"", b"\0"), Counter([1])),
    "bomb: a CSV row of 2 GB": ("events-bomb.csv.gz", lambda: _zip(HEADER, b"x"), NO_END),
    "bomb: a CSV row of many fields": ("events-bomb.csv.gz", lambda: _zip(HEADER, b'"\n",'), NO_END),
    "bomb: Parquet": ("events-bomb.parquet", _write_parquet, {BYTES >> 20}),
}


def land_bomb() -> Iterator[dict[str, Any]]:
    """Land each file in a process of its own, and measure how much its memory grows."""
    for change, (name, write, expected) in BOMBS.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, tempfile.TemporaryDirectory() as folder:
            pool.submit(_warm_up, Path(folder) / "first").result()
            data = write()
            before = psutil.Process(next(iter(pool._processes))).memory_info().rss
            with PeakMemory(next(iter(pool._processes))) as peak:
                fate = pool.submit(_land, Path(folder) / "second", name, data, expected).result()
        mib = round(peak.mib - before / 2**20)
        outcome = fate.outcome if mib <= MAX_MIB else "not accounted for"
        yield {"change": change, "file": name, "outcome": outcome, "message": fate.message, "mib": mib}


def _warm_up(folder: Path) -> None:
    """Import what ingest needs and run it once, so that only the bomb's memory is measured."""
    (folder / "landing").mkdir(parents=True)
    land_files(folder, [], 16, {})


def _land(folder: Path, name: str, data: bytes, expected: Expected) -> Fate:
    (folder / "landing").mkdir(parents=True)
    (folder / "landing" / name).write_bytes(data)
    return land_files(folder, [FuzzFile(name, "events", "", ("bomb",))], 16, {name: expected})[name]
