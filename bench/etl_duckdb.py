"""The work of jobs.ingest, jobs.pairs and jobs.samples in DuckDB, for `bench/etl.py` to compare with.

    python bench/etl_duckdb.py --data landing --out lake --since 2026-11-11 --day 2026-11-20

The last line on standard output is a JSON list, one object for each stage.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from string import Template

import duckdb
import psutil
import pyarrow as pa
from common import Peak
from etl_duckdb_lines import landed

from jobs.item_pairs.settings import Pairs
from jobs.landing.files import list_landing_files
from jobs.pairs import SCORES, best_pairs
from jobs.settings.tree import load_settings

SQL = Path(__file__).parent / "etl_sql"
KINDS = ("events", "items")
THREADS = 2
MEMORY = "3GB"
ITEMS_AT_ONCE = 2_048  # whose users are handed to Swing together


class Work:
    """One run over the days `since` to `day`: landing folder `data`, tables as Parquet below `out`."""

    def __init__(self, data: Path, out: Path, since: date, day: date) -> None:
        self.data, self.out, self.since, self.day = data, out, since, day
        self.settings = load_settings()
        self.startup = time.time() - psutil.Process().create_time()
        self.db = duckdb.connect()
        self.db.execute(f"SET threads = {THREADS}; SET memory_limit = '{MEMORY}'; SET TimeZone = 'UTC'")
        self.db.execute(f"SET temp_directory = '{out}/spill'; SET preserve_insertion_order = false")
        self.names: dict[str, object] = {"since": since, "day": day, "like_from": self.settings.logs.like_from}

    def query(self, name: str, **values: object) -> str:
        """`etl_sql/<name>.sql` with `$name` filled in."""
        return Template((SQL / f"{name}.sql").read_text()).substitute(self.names | values)

    def write(self, query: str, table: str) -> None:
        """Parquet files in folders by day; the view `table` reads them."""
        folder = self.out / table
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.db.execute(f"COPY ({query}) TO '{folder}' (FORMAT parquet, PARTITION_BY (day))")
        if not any(folder.glob("*/*.parquet")):  # nothing to write
            self.db.execute(f"CREATE VIEW {table} AS {query}")
            return
        files = f"'{folder}/*/*.parquet', hive_partitioning = true, hive_types = {{'day': DATE}}"
        self.db.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({files})")

    def ingest(self) -> None:
        files = list_landing_files(self.data)
        lines = {kind: landed(self.db, kind, [f for f in files if f.kind == kind]) for kind in KINDS}
        parsed = {kind: self.query(f"parse_{kind}", lines=query) for kind, query in lines.items()}
        first = self.since
        if any(f.day is None for f in files):
            either = " UNION ALL ".join(f"SELECT min(due) AS due FROM ({query})" for query in parsed.values())
            first = self.db.execute(f"SELECT coalesce(min(due), DATE '{self.day}') FROM ({either})").fetchall()[0][0]
        for kind, query in parsed.items():
            dated = f"SELECT * EXCLUDE (due), coalesce(due, DATE '{first}') AS day FROM ({query})"
            span = f"WHERE day BETWEEN DATE '{self.since}' AND DATE '{self.day}'"
            self.write(f"SELECT * FROM ({dated}) {span}", f"raw_{kind}")
        self.write(self.query("rejects"), "rejects")
        self.write(self.query("events"), "events")
        self.write(self.query("items"), "items")
        broken = self.db.execute(self.query("checks")).fetchall()
        if broken:
            raise RuntimeError(f"these checks do not hold: {broken}")

    def pairs(self) -> None:
        caps = self.settings.pairs
        window = {"after": self.day - timedelta(days=caps.window_days), **caps.model_dump()}
        self.db.execute("CREATE TEMP TABLE swing_items AS " + self.query("swing_items", **window))
        with self._workers() as pool:
            users = self.db.sql(self.query("swing_users", **window)).to_arrow_reader(ITEMS_AT_ONCE)
            self.db.register("swing_scores", pa.Table.from_batches(_scored(pool, users, caps), SCORES))
        self.write(self.query("swing_pairs"), "item_pairs")

    def _workers(self) -> ProcessPoolExecutor:
        """As many processes as threads, their imports done; the time for that is start-up."""
        started = time.perf_counter()
        pool = ProcessPoolExecutor(THREADS, multiprocessing.get_context("spawn"))
        list(pool.map(time.sleep, [0.1] * THREADS))
        self.startup += time.perf_counter() - started
        return pool

    def samples(self) -> None:
        first = "SELECT coalesce(min(day), DATE '9999-12-31') FROM events WHERE user_id IS NOT NULL AND event ="
        days = {kind: self.db.execute(f"{first} '{kind}'").fetchall()[0][0] for kind in ("click", "purchase")}
        query = self.query("samples", clicks_from=days["click"], purchases_from=days["purchase"])
        self.write(query, "samples")


def _scored(pool: ProcessPoolExecutor, users: pa.RecordBatchReader, caps: Pairs) -> Iterator[pa.RecordBatch]:
    """Swing's kernel over the batches, few of them at a time."""
    waiting: deque[Future[pa.RecordBatch]] = deque()
    for batch in users:
        waiting.append(pool.submit(_score, batch, caps))
        if len(waiting) > THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _score(batch: pa.RecordBatch, caps: Pairs) -> pa.RecordBatch:
    return next(iter(best_pairs(caps)([batch])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--since", type=date.fromisoformat, required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    flags = vars(parser.parse_args())
    work = Work(**flags)
    told = []
    for stage in (work.ingest, work.pairs, work.samples):
        started = time.perf_counter() - work.startup
        with Peak(os.getpid()) as peak:
            stage()
        seconds = time.perf_counter() - started
        told.append(
            {"stage": stage.__name__, "seconds": seconds, "startup_seconds": work.startup, "peak_mib": peak.mib}
        )
        work.startup = 0.0
    print(json.dumps(told))


if __name__ == "__main__":
    main()
