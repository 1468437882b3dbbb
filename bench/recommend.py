"""How many users a second does `recommend` serve: in one process, and on one and two executors of Spark?

    make bench B=recommend [ARGS="--users 100000 1000000 --json recommend.json"]

Simulates a shop, runs the jobs that `recommend` needs, and then `recommend` three times on the same lake. Candidates
are neighbours of the user's last items, and popular items. An executor has one core (`local-cluster`).

Columns:

    seconds  of the job, without start-up
    users/s  users with a list, by these seconds
    rows/s   candidates that were ranked, at most: users times `[recommend] candidates`
    MiB      largest sum of resident memory over the process, Spark and its executors
    lists    a hash of users, ranks and items. It can differ between ways if two scores of a user are almost equal
"""

import hashlib
import json
import os
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from common import build_parser, describe_machine
from etl import run_python
from rich.console import Console
from rich.table import Table

from jobs.lake import Lake
from jobs.settings.tree import load_settings

DAY, DAYS, SEED = date(2026, 11, 20), 3, 5
USERS_PER_ITEM = 10
BEFORE = ("pairs", "embed", "quantize", "train", "evaluate")
SETTINGS = {
    "PROFILE": "demo", "SIDEREAL_RECOMMEND__SOURCES": '["neighbours", "popular"]', "SIDEREAL_RANKER__EPOCHS": "1",
    "SIDEREAL_LOGS__TRAIN_DAYS": "1",
}  # fmt: skip
MANY = str(1 << 60)
WAYS = {
    "one process": {"SPARK_FROM_ROWS": MANY},
    "1 executor": {"SPARK_FROM_ROWS": "1", "SPARK_MASTER": "local-cluster[1,1,4096]"},
    "2 executors": {"SPARK_FROM_ROWS": "1", "SPARK_MASTER": "local-cluster[2,1,4096]"},
}
Row = dict[str, Any]


def run_job(job: str, lake: Path, *flags: str, **variables: str) -> tuple[Row, float]:
    """Run a job of the day. Returns its JSON line and its peak MiB."""
    settings = SETTINGS | {"LAKE": str(lake)} | variables
    result, _, mib = run_python(["-m", f"jobs.{job}", "--day", str(DAY), *flags], **settings)
    return result, mib


def make_lake(folder: Path, users: int, events_per_user: int) -> Path:
    """A lake of a simulated shop with everything that `recommend` reads."""
    items, landing, lake = max(1000, users // USERS_PER_ITEM), folder / "landing", folder / "lake"
    sizes = {
        "--days": DAYS, "--users": users, "--items": items, "--events-per-day": users * events_per_user // DAYS,
        "--new-items-per-day": 1, "--seed": SEED, "--format": "parquet",
    }  # fmt: skip
    flags = [str(part) for pair in sizes.items() for part in pair]
    run_python(["-m", "jobs.simulate", "--day", str(DAY), "--out", str(landing), *flags])
    first = DAY - timedelta(days=DAYS - 1)
    run_job("ingest", lake, "--data", str(landing), "--since", str(first))
    run_job("samples", lake, "--since", str(DAY - timedelta(days=1)))
    for job in BEFORE:
        run_job(job, lake)
    return lake


def measure_ways(lake: Path) -> list[Row]:
    rows, candidates = [], load_settings().recommend.candidates
    for way, variables in WAYS.items():
        result, mib = run_job("recommend", lake, **variables)
        seconds = result["seconds"] - result["startup_seconds"]
        lists = Lake(lake).query(
            "SELECT user_id, rank, item_id FROM gold.recommendations WHERE day = :day ORDER BY ALL", day=DAY
        )
        users = len(lists["user_id"].unique())
        digest = hashlib.sha256(repr([lists[name].to_pylist() for name in lists.column_names]).encode())
        rows.append(
            {"way": way, "users": users, "seconds": round(seconds, 1), "users_per_second": round(users / seconds)}
            | {"rows_per_second": round(users * candidates / seconds), "mib": round(mib)}
            | {"lists": digest.hexdigest()[:8]}
        )
    return rows


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000])
    parser.add_argument("--events-per-user", type=int, default=30)
    flags = parser.parse_args()
    if other := [name for name in ("SPARK_REMOTE", "SPARK_MASTER") if os.environ.get(name)]:
        sys.exit(f"recommend: unset {' and '.join(other)}: the bench starts Spark itself")
    os.environ.update(SETTINGS)
    rows = []
    for users in flags.users:
        with tempfile.TemporaryDirectory(prefix="sidereal-recommend-") as folder:
            rows += measure_ways(make_lake(Path(folder), users, flags.events_per_user))
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    table = Table(title=describe_machine("pyspark", "torch"))
    for title in ("way", "users", "seconds", "users/s", "rows/s", "MiB", "lists"):
        table.add_column(title)
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else value for value in row.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
