"""Does a day cost more in an old lake than in a young one?

    make bench B=age [ARGS="--ages 30 365 --events 4000 --json age.json"]

For each age, the bench simulates a log of so many days, and lands all but the last day as history. The day, the users
and the items are as many at every age. Then all jobs run for the day before the last, without being measured, so that
models start warm. The bench measures the jobs of the last day. Each runs in a process of its own, as in Airflow.

Columns, for each job:

    seconds  from start to end of the process
    work     the same without start-up: imports, and Spark where it is needed
    MB read  by the process, from files, pipes and sockets; not what it reads through memory maps
    ratio    of the oldest lake to the youngest
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from common import JOBS, ROOT, build_parser, describe_machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

LAST_DAY = date(2026, 11, 20)
USERS, ITEMS, SEED = 400, 2000, 3
GENERATOR_DAYS = 30  # the generator learns from so many days; by default 180, which no young lake has
RUN = """
import atexit, runpy, sys
atexit.register(lambda: print(open("/proc/self/io").read(), flush=True))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
Row = dict[str, Any]


def run_job(job: str, lake: Path, day: date, *flags: str) -> Row:
    """Run a job in a process of its own. Returns what it took."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "LAKE": str(lake), "SPARK_MASTER": "local[2]"}
    command = [sys.executable, "-c", RUN, f"jobs.{job}", "--day", str(day), *flags]
    done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"age: {job} of {day} failed with exit code {done.returncode}; see its output above")
    result = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    read = re.search(r"rchar: (\d+)", done.stdout)
    assert read
    work = result["seconds"] - result["startup_seconds"]
    return {"job": job, "seconds": round(result["seconds"], 2), "work": round(work, 2), "mb_read": int(read[1]) / 1e6}


def measure_age(age: int, events: int, folder: Path) -> list[Row]:
    """What the jobs of the last of so many days take."""
    landing, lake, day_before = folder / "landing", folder / "lake", LAST_DAY - timedelta(days=1)
    first = LAST_DAY - timedelta(days=age - 1)
    sizes = {
        "--days": age, "--users": USERS, "--items": ITEMS, "--events-per-day": events, "--new-items-per-day": 1,
        "--seed": SEED, "--format": "parquet",
    }  # fmt: skip
    flags = [str(part) for pair in sizes.items() for part in pair]
    simulate = [sys.executable, "-m", "jobs.simulate", "--day", str(LAST_DAY), "--out", str(landing), *flags]
    subprocess.run(simulate, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    more = {"ingest": ["--data", str(landing), "--since", str(first)], "samples": ["--since", str(first)]}
    for job in track(JOBS, f"{age} days, the first run"):
        run_job(job, lake, day_before, *more.get(job, []))
    more = {"ingest": ["--data", str(landing)]}
    rows = [run_job(job, lake, LAST_DAY, *more.get(job, [])) for job in track(JOBS, f"{age} days, the last day")]
    return [{"age": age} | row for row in rows]


def build_table(rows: list[Row], ages: list[int]) -> Table:
    table = Table("job", title="What a day costs, by the age of the lake")
    columns = {"seconds": "seconds", "work": "work", "mb_read": "MB read"}
    for title in columns.values():
        for age in ages:
            table.add_column(f"{title}, {age} d", justify="right")
        table.add_column("ratio", justify="right")
    for job in (*JOBS, "all"):
        cells = []
        for name in columns:
            values = [
                sum(row[name] for row in rows if row["age"] == age and job in (row["job"], "all")) for age in ages
            ]
            ratio = f"{values[-1] / values[0]:.2f}" if values[0] else ""
            cells += [*(f"{value:,.1f}" for value in values), ratio]
        table.add_row(job, *cells)
    return table


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--ages", type=int, nargs="+", default=[30, 365], help="days")
    parser.add_argument("--events", type=int, default=4000, help="of a day, roughly")
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "demo")
    os.environ.setdefault("SIDEREAL_GENERATOR__TRAIN_DAYS", str(GENERATOR_DAYS))
    rows = []
    for age in (ages := sorted(flags.ages)):
        with tempfile.TemporaryDirectory(prefix="sidereal-age-") as folder:
            rows += measure_age(age, flags.events, Path(folder))
    console = Console()
    console.print(describe_machine("duckdb", "deltalake", "pyarrow", "torch"))
    console.print(build_table(rows, ages))
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
