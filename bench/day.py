"""What does a day cost on a Spark cluster, and does an event, a user or an item cost more as all of them grow?

    make bench B=day [ARGS="--events 1000000 10000000 --json day.json"]

For each size, the bench simulates two days with so many events each, 20 for each user and 100 for each item. The first
day is landed, and its samples are built. The bench measures the jobs of the second day, each in a process of its own,
as in Airflow. It starts the cluster of `make cluster`: a master, two workers with one core each, and a Connect server.
The tables are in a folder. Executors embed items, give codes and train the ranker, too. Models train for one epoch.

Columns, for each job, and for each size:

    seconds   of the job, without start-up
    us/event  these seconds divided by the events of the day
    ratio     us/event of the largest size to the smallest: 1 if the job costs the same for each event, user and item
    us more   microseconds that each further event costs: the difference of seconds divided by that of events
    shuffled  MB that Spark wrote to move rows between executors
    task, driver, executor, python  MiB of the largest process of this kind (python: of an executor), without pages of
              files. Spark's processes stay from job to job, so theirs is the peak of the day so far
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

import psutil
from common import JOBS, ROOT, build_parser, describe_machine
from etl import run_python
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(ROOT / "bin"))
from services import Services
from spark_cluster import start_spark_cluster

DAY, SEED = date(2026, 11, 20), 11
EVENTS_PER_USER, EVENTS_PER_ITEM = 20, 100
KINDS = {  # words of a command line: kind of process
    "SparkConnectServer": "driver", "CoarseGrainedExecutorBackend": "executor", "pyspark.daemon": "python",
    "jobs.": "task",
}  # fmt: skip
SETTINGS = {
    "SPARK_FROM_ROWS": "1", "SIDEREAL_LANDING__LOCAL_MIB": "0", "SIDEREAL_RANKER__EPOCHS": "1",
    "SIDEREAL_GENERATOR__EPOCHS": "1", "SIDEREAL_RANKER__SPARK_PARTS": "2", "SIDEREAL_ENCODER__SPARK_PARTS": "2",
    "SIDEREAL_QUANTIZER__SPARK_PARTS": "2",
}  # fmt: skip
COSTS = {"seconds": "seconds", "us_per_event": "us/event", "shuffled_mb": "shuffled"}
MEMORY = {f"{kind}_mib": kind for kind in ("task", "driver", "executor", "python")}
POLL_SECONDS, LOG_SECONDS = 0.3, 1.0  # between two looks at the memory; until Spark has written its log
Row = dict[str, Any]


class Memory:
    """Measures the largest process of each kind among the descendants of this one, in MiB without pages of files."""

    def __init__(self) -> None:
        self.mib = dict.fromkeys(KINDS.values(), 0.0)
        self._kinds: dict[int, str] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            for process in psutil.Process().children(recursive=True):
                try:
                    if kind := self._find_kind(process):
                        memory = process.memory_info()
                        self.mib[kind] = max(self.mib[kind], (memory.rss - memory.shared) / 2**20)
                except psutil.NoSuchProcess:
                    continue

    def _find_kind(self, process: psutil.Process) -> str | None:
        """None as long as it is not known: a process that has just started may still have another command."""
        if process.pid not in self._kinds:
            command = " ".join(process.cmdline())
            for words, kind in KINDS.items():
                if words in command:
                    self._kinds[process.pid] = kind
        return self._kinds.get(process.pid)


class EventLog:
    """Spark's log of events. Each reading returns what was shuffled since the last."""

    def __init__(self, folder: Path) -> None:
        """Write the settings with which a Spark server writes this log, and name them in the environment."""
        self.folder, self._read = folder, Counter[Path]()
        folder.mkdir(parents=True)
        lines = {
            "spark.eventLog.enabled": "true", "spark.eventLog.dir": folder.as_uri(), "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
        }  # fmt: skip
        settings = folder / "conf"
        settings.mkdir()
        (settings / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
        os.environ["SPARK_CONF_DIR"] = str(settings)

    def shuffled_bytes(self) -> int:
        time.sleep(LOG_SECONDS)
        total = 0
        for file in self.folder.glob("app-*"):
            with open(file, "rb") as log:
                log.seek(self._read[file])
                whole_lines = log.read().rpartition(b"\n")[0]
            self._read[file] += len(whole_lines)
            for line in whole_lines.splitlines():
                if b'"SparkListenerTaskEnd"' in line:
                    metrics = json.loads(line).get("Task Metrics") or {}
                    total += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
        return total


def simulate(events: int, landing: Path) -> tuple[int, int]:
    """Write two days. Returns the numbers of users and items."""
    users, items = events // EVENTS_PER_USER, events // EVENTS_PER_ITEM
    sizes = {
        "--days": 2, "--users": users, "--items": items, "--events-per-day": events,
        "--new-items-per-day": max(items // 1000, 1), "--seed": SEED, "--format": "parquet",
    }  # fmt: skip
    flags = [str(part) for pair in sizes.items() for part in pair]
    run_python(["-m", "jobs.simulate", "--day", str(DAY), "--out", str(landing), *flags])
    return users, items


def run_job(job: str, day: date, log: EventLog, *flags: str) -> Row:
    """Run a job. Returns what it took."""
    log.shuffled_bytes()
    command = [sys.executable, "-m", f"jobs.{job}", "--day", str(day), *flags]
    with Memory() as memory:
        variables = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"day: {job} failed with exit code {done.returncode}; see its output above")
    result = json.loads(done.stdout.splitlines()[-1])
    peaks = {f"{kind}_mib": round(mib) for kind, mib in memory.mib.items()}
    seconds = round(result["seconds"] - result["startup_seconds"], 2)
    return {"job": job, "seconds": seconds, **peaks, "shuffled_mb": round(log.shuffled_bytes() / 1e6, 1)}


def measure_day(events: int, folder: Path) -> list[Row]:
    """Start a cluster, and measure the jobs of a day on it."""
    landing, log = folder / "landing", EventLog(folder / "events")
    os.environ["LAKE"] = str(folder / "lake")
    users, items = simulate(events, landing)
    services = Services(folder / "logs")
    try:
        os.environ["SPARK_REMOTE"] = start_spark_cluster(services, folder / "spark")
        before, rows = DAY - timedelta(days=1), []
        run_job("ingest", before, log, "--data", str(landing))
        run_job("samples", before, log)
        for job in track(JOBS, f"{events:,} events"):
            row = run_job(job, DAY, log, *(["--data", str(landing)] if job == "ingest" else []))
            row["us_per_event"] = round(row["seconds"] / events * 1e6, 2)
            rows.append({"events": events, "users": users, "items": items} | row)
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        return rows
    finally:
        services.stop()
        for name in ("SPARK_REMOTE", "SPARK_MASTER", "PYSPARK_PYTHON"):
            os.environ.pop(name, None)


def build_tables(rows: list[Row]) -> list[Table]:
    """The costs of each job and how they grow, and the memory. Cells hold the values of all sizes."""
    events = sorted({row["events"] for row in rows})

    def values(job: str, name: str) -> list[float]:
        return [
            sum(row[name] for row in rows if row["events"] == size and job in (row["job"], "all")) for size in events
        ]

    def cell(job: str, name: str) -> str:
        return ", ".join(f"{value:,.{0 if value >= 10 else 1}f}" for value in values(job, name))

    title = f"A day of {', '.join(f'{size:,}' for size in events)} events"
    costs, memory = Table("job", *COSTS.values(), "ratio", "us more", title=title), Table("job", *MEMORY.values())
    for job in (*JOBS, "all"):
        seconds = values(job, "seconds")
        first, last = seconds[0], seconds[-1]
        ratio = f"{last / events[-1] / (first / events[0]):.2f}" if first else ""
        more = f"{(last - first) / (events[-1] - events[0]) * 1e6:.1f}" if len(events) > 1 else ""
        costs.add_row(job, *(cell(job, name) for name in COSTS), ratio, more)
    for job in JOBS:
        memory.add_row(job, *(cell(job, name) for name in MEMORY))
    return [costs, memory]


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000], help="of a day, roughly")
    flags = parser.parse_args()
    if other := [name for name in ("SPARK_REMOTE", "SPARK_MASTER") if os.environ.get(name)]:
        sys.exit(f"day: unset {' and '.join(other)}: the bench starts Spark itself")
    os.environ.setdefault("PROFILE", "demo")
    os.environ |= SETTINGS
    rows = []
    with tempfile.TemporaryDirectory(prefix="sidereal-day-") as temporary:
        for events in sorted(flags.events):
            rows += measure_day(events, folder := Path(temporary) / str(events))
            shutil.rmtree(folder)
    console = Console(width=120)
    console.print(describe_machine("pyspark", "deltalake", "torch"))
    for table in build_tables(rows):
        console.print(table)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
