"""The shared entry point of all jobs: arguments, settings, ledger row, last JSON line, errors in a sentence."""

import argparse
import fcntl
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from jobs.lake.contracts import contracts
from jobs.lake.errors import UserError
from jobs.lake.lake import JobResult, Lake, arrow_dataset, lake_root
from jobs.settings.tree import load_settings

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_CAUSES = {  # part of an engine's error -> what a tired person needs to know
    "No space left on device": "the disk of {lake} or of {temporary} is full: free some space, then run this again;"
    " nothing was published",
    " requested and ": "the disk of {lake} or of {temporary} is full: free some space, then run this again",  # NumPy
    "disk is full": "the disk of {lake} or of {temporary} is full: free some space, then run this again",
    "disk I/O error": "the disk of {lake} or of {temporary} is full or fails: free some space, then run this again",
    "ConcurrentAppend": "another run wrote the same table at the same time: let it finish, then run this again",
    "ConcurrentDelete": "another run wrote the same table at the same time: let it finish, then run this again",
    "ConcurrentModification": "another run wrote the same table at the same time: let it finish, then run this again",
    "Failed to commit transaction": "another run wrote the same table at the same time; run this again",
    "Permission denied": "a file or folder may not be written: check who owns LAKE and the temporary folder",
    "OutOfMemoryError": "Spark ran out of memory: raise SPARK_DRIVER_MEMORY (now {memory})",
}

FIRST_DAY = date(1970, 1, 1)


def parse_day(text: str) -> date:
    """The type of an argument that is a day, until tomorrow by this machine's clock: one typing error in a year would
    publish a day that no later one can follow."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it as 2026-11-20") from None
    today = datetime.now(UTC).date()
    if day > today + timedelta(days=1):  # where it is tomorrow already
        raise argparse.ArgumentTypeError(f"{text} lies in the future: today is {today} (UTC)")
    if day < FIRST_DAY:
        raise argparse.ArgumentTypeError(f"{text} is before {FIRST_DAY}, the first day that a log may be of")
    return day


def _commit() -> str | None:
    root = Path(__file__).parent
    got = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True, text=True)
    return got.stdout.strip() or None if got.returncode == 0 else None


def cause(error: BaseException) -> str:
    """The error in one sentence."""
    if isinstance(error, UserError):
        return str(error)
    if type(error) is ConnectionError:  # a language model's endpoint; libraries raise kinds of it
        return f"{error}; what was answered is kept: run this again"
    text = f"{type(error).__name__}: {error}"
    if error.__cause__:
        text += f" ({error.__cause__})"
    for part, meaning in _CAUSES.items():
        if part in text:
            memory = os.environ.get("SPARK_DRIVER_MEMORY", "2g")
            return meaning.format(memory=memory, lake=lake_root(), temporary=tempfile.gettempdir())
    return f"unexpected {text.splitlines()[0][:300]}; the lines above say where"


def main(run: Callable[..., JobResult], arguments: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
    """Run one job from the command line.

    Fails with a sentence on standard error: exit code 1 if a user must mend something, 2 if a retry may help.
    """
    job = sys.modules[run.__module__].__spec__
    name = (job.name if job else run.__module__).removeprefix("jobs.")
    parser = argparse.ArgumentParser(prog=f"python -m jobs.{name}", description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--day", type=parse_day, required=True, help="the day to work on, as 2026-11-20")
    if arguments:
        arguments(parser)
    try:
        options = vars(parser.parse_args())
    except SystemExit as stop:  # argparse ends with 2, which the DAG would try again
        sys.exit(1 if stop.code else 0)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        _run(name, run, options.pop("day"), options)
    except UserError as error:
        sys.exit(f"{name} failed: {error}")
    except Exception as error:  # the last line of a red task's log is its cause, whatever it was
        told = cause(error)
        if told.startswith("unexpected"):
            traceback.print_exc()
        print(f"{name} failed: {told}", file=sys.stderr)
        sys.exit(2)


@contextmanager
def alone(lake: Lake, name: str) -> Iterator[None]:
    """Wait until no other run of this job works on the lake, so that two days' runs do not collide.

    On an object store there is no such lock: Delta refuses the second of two commits that collide.
    """
    if "://" in lake.root:
        yield
        return
    folder = Path(lake.root) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run of {name} on {lake.root}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_profile(lake: Lake) -> str | None:
    """Of the newest ingest: an item that one profile embedded is none to another."""
    ledger = arrow_dataset(DeltaTable(lake.path("ops.runs")))
    if "profile" not in ledger.schema.names:  # an older lake
        return None
    rows = ledger.to_table(["profile", "started_at"], pc.field("job") == "ingest")
    rows = rows.sort_by([("started_at", "descending")])
    return rows["profile"][0].as_py() if rows.num_rows else None


def _run(name: str, run: Callable[..., JobResult], day: date, options: dict[str, object]) -> None:
    born = psutil.Process().create_time()
    lake = Lake(lake_root(), run_id=uuid.uuid4().hex[:12])
    if not DeltaTable.is_deltatable(lake.path("ops.runs")):
        if name != "ingest":
            raise UserError(f"there is no lake at {lake.root}: run ingest first, or check LAKE")
    elif not os.environ.get("PROFILE") and (profile := _last_profile(lake)):
        os.environ["PROFILE"] = profile
    settings = load_settings()
    startup = time.time() - born
    with alone(lake, name):
        lake.create()
        written = run(lake, settings, day, **options)
    seconds = time.time() - born
    row = {
        "run_id": lake.run_id,
        "job": name,
        "day": day,
        "started_at": datetime.fromtimestamp(born, UTC),
        "seconds": seconds,
        "startup_seconds": startup + lake.spark_seconds,
        "inputs": list(lake.inputs.items()),
        "outputs": list(lake.outputs.items()),
        "settings_hash": settings.hash,
        "code_commit": _commit(),
        "rows_in": written.rows_in,
        "rows_out": written.rows_out,
        "rows_rejected": written.rows_rejected,
        "rows_duplicate": written.rows_duplicate,
        "profile": settings.profile,
    }
    write_deltalake(lake.path("ops.runs"), pa.Table.from_pylist([row], contracts()["ops.runs"].arrow), mode="append")
    if reason := written.notes.get("skipped"):
        print(f"skipped: {reason}", file=sys.stderr, flush=True)
    told = {**row, **written.notes, "inputs": lake.inputs, "outputs": lake.outputs}
    print(json.dumps(told, default=str), flush=True)
