"""What does one event cost from landing to events, item pairs and samples, compared with the same work in DuckDB?

    make bench B=etl ARGS="--events 1000000 5000000 20000000"
    make bench B=etl ARGS="--data <landing folder> --json etl.json"

Without --data, the events are simulated. Both engines have 2 threads. After each size the bench prints how far the
tables of both engines agree.

Columns:

    events             landed event lines
    seconds            of a process from start to end
    of them start-up   imports, JVM, Spark session, worker processes
    events/s, µs/event  without start-up
    x smallest         µs/event divided by the µs/event of the smallest size
    peak MiB           largest sum of resident memory over the process and its children
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from common import ROOT, PeakMemory, build_parser, describe_machine
from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

LAST_DAY, DAYS = "2026-11-20", 10
# The number of events for each user and item is the same at every size, because a shop that grows gets more of both.
# In online_retail and ranklens (the real logs in tests/data are slices of them) a user has 124 and 131 events, an item
# 133 and 112.
EVENTS_PER_USER = EVENTS_PER_ITEM = 130
NEW_ITEMS = 0.01  # share of the catalogue, each day
SEED = 7


@dataclass(frozen=True)
class Cost:
    """What one stage of one engine took."""

    engine: str
    events: int  # lines landed
    stage: str
    seconds: float
    startup_seconds: float
    peak_mib: float

    @property
    def work_seconds(self) -> float:
        return self.seconds - self.startup_seconds

    def build_row(self) -> dict[str, Any]:
        work = self.work_seconds
        rates = {"events_per_second": self.events / work, "microseconds_per_event": work / self.events * 1e6}
        return {name: _round_float(value) for name, value in (asdict(self) | rates).items()}


def _round_float(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def simulate_landing(events: int, folder: Path, file_format: str) -> Path:
    """Write simulated logs into `folder` and return it."""
    items = max(100, round(events / EVENTS_PER_ITEM))
    sizes = {
        "--items": items, "--users": max(50, round(events / EVENTS_PER_USER)), "--events-per-day": events // DAYS,
        "--new-items-per-day": round(items * NEW_ITEMS), "--days": DAYS, "--seed": SEED,
    }  # fmt: skip
    flags = [str(part) for pair in sizes.items() for part in pair]
    run_python(["-m", "jobs.simulate", "--day", LAST_DAY, "--out", str(folder), "--format", file_format, *flags])
    return folder


def run_python(arguments: list[str], **environment: str) -> tuple[Any, float, float]:
    """Run Python in the repository; returns the JSON of its last output line, seconds from start to end, peak MiB."""
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    started = perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
    with PeakMemory(process.pid) as peak:
        out, _ = process.communicate()
    seconds = perf_counter() - started
    if process.returncode:
        sys.exit(f"etl: `{' '.join(arguments[:2])}` failed with exit code {process.returncode}; see its output above")
    return json.loads(out.splitlines()[-1]), seconds, peak.mib


def run_jobs(data: Path, lake: Path, first_and_last: tuple[str, str]) -> Iterator[Cost]:
    since, day = first_and_last
    jobs = {
        "ingest": ["--since", since, "--data", str(data)],
        "pairs": [],
        "samples": ["--since", since],
    }
    environment = {"LAKE": str(lake), "SPARK_MASTER": "local[2]"}
    for job, flags in jobs.items():
        result, seconds, peak = run_python(["-m", f"jobs.{job}", "--day", day, *flags], **environment)
        events = DeltaTable(str(lake / "bronze" / "raw_events")).to_pyarrow_dataset().count_rows()
        yield Cost("sidereal", events, job, seconds, result["startup_seconds"], peak)


def run_duckdb(data: Path, out: Path, first_and_last: tuple[str, str], events: int) -> Iterator[Cost]:
    since, day = first_and_last
    flags = ["--data", str(data), "--out", str(out), "--since", since, "--day", day]
    stages, _, _ = run_python([str(ROOT / "bench" / "etl_duckdb.py"), *flags])
    yield from (Cost("duckdb", events, **stage) for stage in stages)


def sum_costs(costs: list[Cost]) -> Cost:
    seconds, startup = sum(c.seconds for c in costs), sum(c.startup_seconds for c in costs)
    return Cost(costs[0].engine, costs[0].events, "total", seconds, startup, max(c.peak_mib for c in costs))


def compare_engines(data: Path, folder: Path, console: Console) -> list[Cost]:
    """Run both engines on one landing folder, and print how far their tables agree."""
    days, _, _ = run_python(["-m", "jobs.landing.days", "--data", str(data)])
    first_and_last = days[0], days[-1]
    ours = list(run_jobs(data, folder / "lake", first_and_last))
    duckdb = list(run_duckdb(data, folder / "duckdb", first_and_last, ours[0].events))
    flags = ["--lake", str(folder / "lake"), "--duckdb", str(folder / "duckdb")]
    sentences, _, _ = run_python([str(ROOT / "bench" / "etl_agreement.py"), *flags])
    for sentence in sentences:
        console.print(f"  {ours[0].events:,} events: {sentence}", highlight=False, soft_wrap=True)
    return [*ours, sum_costs(ours), *duckdb, sum_costs(duckdb)]


def build_table(costs: list[Cost]) -> Table:
    table = Table("engine", "stage", title="From landing to events, item pairs and samples")
    for name in ("events", "seconds", "of them start-up", "events/s", "µs/event", "x smallest", "peak MiB"):
        table.add_column(name, justify="right")
    smallest: dict[tuple[str, str], float] = {}
    for cost in costs:
        per_event = cost.work_seconds / cost.events
        ratio = per_event / smallest.setdefault((cost.engine, cost.stage), per_event)
        table.add_row(
            cost.engine, cost.stage, f"{cost.events:,}", f"{cost.seconds:.1f}", f"{cost.startup_seconds:.1f}",
            f"{1 / per_event:,.0f}", f"{per_event * 1e6:.2f}", f"{ratio:.2f}", f"{cost.peak_mib:,.0f}",
            end_section=cost.stage == "total",
        )  # fmt: skip
    return table


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--data", type=Path, help="a landing folder, instead of simulated events")
    parser.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the simulated events")
    flags = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    machine = describe_machine("pyspark", "delta-spark", "deltalake", "duckdb", "numpy")
    console.print(machine, highlight=False, soft_wrap=True)
    costs: list[Cost] = []
    for events in [0] if flags.data else sorted(flags.events):
        with tempfile.TemporaryDirectory(prefix="sidereal-etl-") as name:
            folder = Path(name)
            data = flags.data.resolve() if flags.data else simulate_landing(events, folder / "landing", flags.format)
            costs += compare_engines(data, folder, console)
        if flags.json:
            flags.json.write_text(json.dumps([cost.build_row() for cost in costs], indent=1) + "\n")
    console.print(build_table(costs))


if __name__ == "__main__":
    main()
