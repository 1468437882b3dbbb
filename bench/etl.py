"""Cost of an event from landing to events, item pairs and samples: the jobs beside the same work in DuckDB.

    make bench B=etl ARGS="--events 1000000 5000000 20000000"
    make bench B=etl ARGS="--data landing --json etl.json"

`seconds` is a process from start to end; `startup_seconds` of it are imports, JVM and session. Events per second
and microseconds per event are of the rest. Both sides get 2 threads. Asserts no time.
"""

import argparse
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

from common import ROOT, Peak, machine
from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

LAST_DAY, DAYS = "2026-11-20", 10
# A user and an item have as many events at every size, as a shop that grows gets more of both. In online_retail and
# ranklens (the slices of real logs in tests/data come from them) a user has 124 and 131 events, an item 133 and 112.
EVENTS_PER_USER = EVENTS_PER_ITEM = 130
NEW_ITEMS = 0.01  # of the catalogue, a day
SEED = 7


@dataclass(frozen=True)
class Cost:
    engine: str
    events: int  # lines landed
    stage: str
    seconds: float
    startup_seconds: float
    peak_mib: float

    @property
    def work(self) -> float:
        return self.seconds - self.startup_seconds

    def row(self) -> dict[str, Any]:
        rates = {"events_per_second": self.events / self.work, "microseconds_per_event": self.work / self.events * 1e6}
        return {name: _rounded(value) for name, value in (asdict(self) | rates).items()}


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def simulated(events: int, folder: Path, form: str) -> Path:
    items = max(100, round(events / EVENTS_PER_ITEM))
    sizes = {
        "--items": items, "--users": max(50, round(events / EVENTS_PER_USER)), "--events-per-day": events // DAYS,
        "--new-items-per-day": round(items * NEW_ITEMS), "--days": DAYS, "--seed": SEED,
    }  # fmt: skip
    flags = [str(part) for pair in sizes.items() for part in pair]
    _told(["-m", "jobs.simulate", "--day", LAST_DAY, "--out", str(folder), "--format", form, *flags])
    return folder


def _told(arguments: list[str], **environment: str) -> tuple[Any, float, float]:
    """Run Python on the repository. returns what its last line says, seconds from start to end, peak MiB"""
    known = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    started = perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=known, stdout=subprocess.PIPE, text=True)
    with Peak(process.pid) as peak:
        out, _ = process.communicate()
    seconds = perf_counter() - started
    if process.returncode:
        sys.exit(f"etl: `{' '.join(arguments[:2])}` failed with exit code {process.returncode}; its lines are above")
    return json.loads(out.splitlines()[-1]), seconds, peak.mib


def ours(data: Path, lake: Path, span: list[str]) -> Iterator[Cost]:
    since, day = span
    jobs = {
        "ingest": ["--since", since, "--data", str(data)],
        "pairs": [],
        "samples": ["--since", since],
    }
    environment = {"LAKE": str(lake), "SPARK_MASTER": "local[2]"}
    for job, flags in jobs.items():
        told, seconds, peak = _told(["-m", f"jobs.{job}", "--day", day, *flags], **environment)
        events = DeltaTable(str(lake / "bronze" / "raw_events")).to_pyarrow_dataset().count_rows()
        yield Cost("spark", events, job, seconds, told["startup_seconds"], peak)


def duckdbs(data: Path, out: Path, span: list[str], events: int) -> Iterator[Cost]:
    since, day = span
    flags = ["--data", str(data), "--out", str(out), "--since", since, "--day", day]
    stages, _, _ = _told([str(ROOT / "bench" / "etl_duckdb.py"), *flags])
    yield from (Cost("duckdb", events, **stage) for stage in stages)


def total(costs: list[Cost]) -> Cost:
    seconds, startup = sum(c.seconds for c in costs), sum(c.startup_seconds for c in costs)
    return Cost(costs[0].engine, costs[0].events, "total", seconds, startup, max(c.peak_mib for c in costs))


def measured(data: Path, folder: Path, console: Console) -> list[Cost]:
    """Both engines on one landing folder, whose tables must agree."""
    days, _, _ = _told(["-m", "jobs.landing.days", "--data", str(data)])
    span = [days[0], days[-1]]
    spark = list(ours(data, folder / "lake", span))
    duck = list(duckdbs(data, folder / "duckdb", span, spark[0].events))
    flags = ["--lake", str(folder / "lake"), "--duckdb", str(folder / "duckdb")]
    told, _, _ = _told([str(ROOT / "bench" / "etl_agreement.py"), *flags])
    for line in told:
        console.print(f"  {spark[0].events:,} events: {line}", highlight=False, soft_wrap=True)
    return [*spark, total(spark), *duck, total(duck)]


def table(costs: list[Cost]) -> Table:
    shown = Table("engine", "stage", title="From landing to events, item pairs and samples")
    for name in ("events", "seconds", "of them start-up", "events/s", "µs/event", "x smallest", "peak MiB"):
        shown.add_column(name, justify="right")
    smallest: dict[tuple[str, str], float] = {}
    for cost in costs:
        each = cost.work / cost.events
        ratio = each / smallest.setdefault((cost.engine, cost.stage), each)
        shown.add_row(
            cost.engine, cost.stage, f"{cost.events:,}", f"{cost.seconds:.1f}", f"{cost.startup_seconds:.1f}",
            f"{1 / each:,.0f}", f"{each * 1e6:.2f}", f"{ratio:.2f}", f"{cost.peak_mib:,.0f}",
            end_section=cost.stage == "total",
        )  # fmt: skip
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--data", type=Path, help="a landing folder, in place of simulated events")
    parser.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the simulated events")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    flags = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(machine("pyspark", "delta-spark", "deltalake", "duckdb", "numpy"), highlight=False, soft_wrap=True)
    costs: list[Cost] = []
    for events in [0] if flags.data else sorted(flags.events):
        with tempfile.TemporaryDirectory(prefix="sidereal-etl-") as name:
            folder = Path(name)
            data = flags.data.resolve() if flags.data else simulated(events, folder / "landing", flags.format)
            costs += measured(data, folder, console)
        if flags.json:
            flags.json.write_text(json.dumps([cost.row() for cost in costs], indent=1) + "\n")
    console.print(table(costs))


if __name__ == "__main__":
    main()
