"""Does it matter in which way log files arrive? Lands the same simulated days twice: in order, and in disorder.

    make bench B=arrivals
    make bench B=arrivals ARGS="--days 10 --events 2000 --seed 3"

In order, all files of a day are there when its day is run. In disorder, files come days late, twice, in parts (a file
that grows) or under a name that is overwritten every day, and are deleted after 7 days; every fifth day, an earlier day
is run again. Ingest and samples run on each day. The bench prints how many lines came in which way, and a hash of the
rows of each table. Its exit code is 1 if a hash differs.
"""

import hashlib
import json
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

from common import build_parser, describe_machine
from rich.console import Console
from rich.table import Table

from jobs import ingest, samples
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings, load_settings
from jobs.simulation.arrivals import Delivery, plan_deliveries
from jobs.simulation.landing import write_landing

LAST = date(2026, 11, 20)
KEPT_DAYS = 7
RERUN_EVERY, RERUN_BACK = 5, 3  # days
TABLES = ("silver.events", "silver.items", "gold.samples")


def land(name: str, delivery: Delivery, folder: Path, settings: Settings) -> Lake:
    """Run ingest and samples on each day of a delivery, and an earlier day again now and then if files are deleted."""
    root = folder / name / "lake"
    Lake(root).create()
    is_kept = name == "in order"
    for number, day in enumerate(delivery.deliver(folder / name / "landing", None if is_kept else KEPT_DAYS)):
        runs = [day] if is_kept or number % RERUN_EVERY < RERUN_EVERY - 1 else [day, day - timedelta(days=RERUN_BACK)]
        for run_day in runs:
            ingest.run(Lake(root), settings, run_day, data=folder / name / "landing")
            samples.run(Lake(root), settings, run_day)
    return Lake(root)


def hash_table(lake: Lake, table: str) -> tuple[int, str]:
    """The number of rows of a table, and a hash of them that does not depend on their order."""
    rows = sorted(map(repr, lake.arrow(table, contracts()[table].names).to_pylist()))
    return len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--events", type=int, default=5_000, help="simulated event lines a day")
    parser.add_argument("--seed", type=int, default=7)
    flags = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(describe_machine("pyspark", "delta-spark", "deltalake", "duckdb"), highlight=False, soft_wrap=True)
    days = [LAST - timedelta(days=n) for n in reversed(range(flags.days))]
    started = perf_counter()
    with tempfile.TemporaryDirectory(prefix="sidereal-arrivals-") as name:
        folder = Path(name)
        write_landing(
            folder / "simulated", days=days, items=flags.events // 10, users=flags.events // 25, seed=flags.seed,
            events_per_day=flags.events, new_items_per_day=max(1, flags.events // 500), faults=0.02,
        )  # fmt: skip
        ordered, disordered = plan_deliveries(folder / "simulated", days, flags.seed)
        deliveries = {"in order": ordered, "in disorder": disordered}
        lakes = {name: land(name, delivery, folder, load_settings()) for name, delivery in deliveries.items()}
        hashes = {(name, table): hash_table(lake, table) for name, lake in lakes.items() for table in TABLES}
    ways = ", ".join(f"{lines:,} {way}" for way, lines in sorted(disordered.lines.items()))
    console.print(f"{flags.days} days; event and item lines in disorder: {ways}", highlight=False, soft_wrap=True)
    table = Table("arrival", "table", title="Rows after the last day")
    table.add_column("rows", justify="right")
    table.add_column("hash")
    for (name, table_name), (rows, text) in hashes.items():
        table.add_row(name, table_name, f"{rows:,}", text)
    console.print(table)
    is_equal = all(hashes["in order", table] == hashes["in disorder", table] for table in TABLES)
    console.print(f"{'equal' if is_equal else 'NOT EQUAL'}, after {perf_counter() - started:.0f} s", highlight=False)
    if flags.json:
        columns = ("arrival", "table", "rows", "hash")
        records = [dict(zip(columns, (*key, *value), strict=True)) for key, value in hashes.items()]
        flags.json.write_text(json.dumps(records, indent=1) + "\n")
    sys.exit(not is_equal)


if __name__ == "__main__":
    main()
