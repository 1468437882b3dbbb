"""What does the work of jobs.ingest, jobs.pairs and jobs.samples cost in DuckDB? Started by `bench/etl.py`.

    make bench B=etl_duckdb ARGS="--data <landing folder> --out <folder> --since 2026-11-11 --day 2026-11-20"

The last line on standard output is a JSON list with one object for each stage: stage, seconds (with start-up),
startup_seconds (imports, worker processes) and peak_mib.
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
from common import PeakMemory
from etl_duckdb_lines import build_lines_query

from jobs.item_pairs.settings import Pairs
from jobs.item_pairs.swing_batches import SCORES, make_swing_scorer
from jobs.landing.cancels import QUERY, match_cancels
from jobs.landing.files import list_landing_files
from jobs.landing.labels import count_days_ahead
from jobs.settings.tree import load_settings

SQL = Path(__file__).parent / "etl_sql"
KINDS = ("events", "items")
THREADS = 2
MEMORY = "3GB"
ITEMS_PER_BATCH = 2_048  # whose users are passed to Swing together


class DuckdbRun:
    """One run over the days `since` to `day`. Reads the landing folder `data`, writes Parquet tables into `out`."""

    def __init__(self, data: Path, out: Path, since: date, day: date) -> None:
        self.data, self.out, self.since, self.day = data, out, since, day
        self.settings = load_settings()
        self.startup = time.time() - psutil.Process().create_time()
        self.db = duckdb.connect()
        self.db.execute(f"SET threads = {THREADS}; SET memory_limit = '{MEMORY}'; SET TimeZone = 'UTC'")
        self.db.execute(f"SET temp_directory = '{out}/spill'; SET preserve_insertion_order = false")
        self.values: dict[str, object] = {"since": since, "day": day, "like_from": self.settings.logs.like_from}

    def fill_query(self, name: str, **values: object) -> str:
        """The query `etl_sql/<name>.sql` with its `$` variables filled in."""
        return Template((SQL / f"{name}.sql").read_text()).substitute(self.values | values)

    def write(self, query: str, table: str) -> None:
        """Write Parquet files into a folder for each day, and create the view `table` that reads them."""
        folder = self.out / table
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.db.execute(f"COPY ({query}) TO '{folder}' (FORMAT parquet, PARTITION_BY (day))")
        if not any(folder.glob("*/*.parquet")):  # the query has no rows
            self.db.execute(f"CREATE VIEW {table} AS {query}")
            return
        files = f"'{folder}/*/*.parquet', hive_partitioning = true, hive_types = {{'day': DATE}}"
        self.db.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({files})")

    def ingest(self) -> None:
        files = list_landing_files(self.data).files
        lines = {kind: build_lines_query(self.db, kind, [f for f in files if f.kind == kind]) for kind in KINDS}
        parsed = {kind: self.fill_query(f"parse_{kind}", lines=query) for kind, query in lines.items()}
        first = self.since
        if any(f.day is None for f in files):
            both = " UNION ALL ".join(f"SELECT min(due) AS due FROM ({query})" for query in parsed.values())
            first = self.db.execute(f"SELECT coalesce(min(due), DATE '{self.day}') FROM ({both})").fetchall()[0][0]
        for kind, query in parsed.items():
            dated = f"SELECT * EXCLUDE (due), coalesce(due, DATE '{first}') AS day FROM ({query})"
            span = f"WHERE day BETWEEN DATE '{self.since}' AND DATE '{self.day}'"
            self.write(f"SELECT * FROM ({dated}) {span}", f"raw_{kind}")
        self.write(self.fill_query("rejects"), "rejects")
        self.write(self.fill_query("events"), "events")
        self.write(self.fill_query("items"), "items")
        broken = self.db.execute(self.fill_query("checks")).fetchall()
        if broken:
            raise RuntimeError(f"etl_duckdb: the checks of etl_sql/checks.sql failed with these counts: {broken}")

    def pairs(self) -> None:
        caps = self.settings.pairs
        after = self.day - timedelta(days=caps.window_days)
        window = {"after": after, **caps.model_dump()}
        self.register_cancelled(after + timedelta(days=1), self.day)
        without = (
            "CREATE TEMP VIEW standing_events AS FROM events ANTI JOIN cancelled USING (event, day, event_id, item_id)"
        )
        self.db.execute(without)
        self.db.execute("CREATE TEMP TABLE swing_items AS " + self.fill_query("swing_items", **window))
        with self._start_workers() as pool:
            users = self.db.sql(self.fill_query("swing_users", **window)).to_arrow_reader(ITEMS_PER_BATCH)
            self.db.register("swing_scores", pa.Table.from_batches(_score_batches(pool, users, caps), SCORES))
        self.write(self.fill_query("swing_pairs"), "item_pairs")

    def _start_workers(self) -> ProcessPoolExecutor:
        """Start as many processes as threads and wait for their imports; this time counts as start-up."""
        started = time.perf_counter()
        pool = ProcessPoolExecutor(THREADS, multiprocessing.get_context("spawn"))
        list(pool.map(time.sleep, [0.1] * THREADS))
        self.startup += time.perf_counter() - started
        return pool

    def samples(self) -> None:
        first_day = "SELECT coalesce(min(day), DATE '9999-12-31') FROM events WHERE user_id IS NOT NULL AND event ="
        days = {kind: self.db.execute(f"{first_day} '{kind}'").fetchall()[0][0] for kind in ("click", "purchase")}
        ahead = timedelta(days=count_days_ahead(self.settings.logs, "impression"))
        self.register_cancelled(self.since - ahead, self.day + ahead)
        query = self.fill_query(
            "samples", clicks_from=days["click"], purchases_from=days["purchase"], until=self.day + ahead,
            window=self.settings.logs.attribution_hours * 3_600_000_000,
        )  # fmt: skip
        self.write(query, "samples")

    def register_cancelled(self, first: date, last: date) -> None:
        """Register the cancelled purchases as the view `cancelled`. The job's own function matches the cancels."""
        query = QUERY.format(events="events").replace(":first", "$first").replace(":last", "$last")
        rows = self.db.sql(query, params={"first": first, "last": last}).to_arrow_table()
        self.db.register("cancelled", match_cancels(rows))


def _score_batches(pool: ProcessPoolExecutor, users: pa.RecordBatchReader, caps: Pairs) -> Iterator[pa.RecordBatch]:
    """Score the batches with Swing in the workers. Few batches wait at a time, so that memory stays bounded."""
    waiting: deque[Future[pa.RecordBatch]] = deque()
    for batch in users:
        waiting.append(pool.submit(_score, batch, caps))
        if len(waiting) > THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _score(batch: pa.RecordBatch, caps: Pairs) -> pa.RecordBatch:
    return next(iter(make_swing_scorer(caps)([batch])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--since", type=date.fromisoformat, required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    flags = vars(parser.parse_args())
    duckdb_run = DuckdbRun(**flags)
    rows = []
    for stage in (duckdb_run.ingest, duckdb_run.pairs, duckdb_run.samples):
        started = time.perf_counter() - duckdb_run.startup
        with PeakMemory(os.getpid()) as peak:
            stage()
        seconds = time.perf_counter() - started
        rows.append(
            {"stage": stage.__name__, "seconds": seconds, "startup_seconds": duckdb_run.startup, "peak_mib": peak.mib}
        )
        duckdb_run.startup = 0.0
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
