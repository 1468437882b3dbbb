"""The entry point of all jobs: arguments, settings, the row in ops.runs, the last JSON line, error sentences."""

import argparse
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
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from jobs.lake.contracts import contracts
from jobs.lake.errors import UserError
from jobs.lake.lake import JobResult, Lake, lake_root
from jobs.lake.reader import arrow_dataset
from jobs.lake.run_state import pin_run
from jobs.landing.histories import check_filled
from jobs.runtime.locks import lock_job
from jobs.runtime.printable import printable
from jobs.runtime.progress import heartbeat
from jobs.settings.tree import load_settings

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RUNS = "ops.runs"
FIRST_DAY = date(1970, 1, 1)
RunJob = Callable[..., JobResult]
AddArguments = Callable[[argparse.ArgumentParser], None]

_DISK_FULL = "the disk of {lake} or of {temporary} is full: free some space, then run this again"
_OTHER_WRITER = "another run wrote the same table at the same time: let it finish, then run this again"
_SENTENCES = {  # part of an error of an engine -> what happened and what to do
    "No space left on device": f"{_DISK_FULL}; nothing was published",
    " requested and ": _DISK_FULL,  # NumPy
    "Disk quota exceeded": f"your disk quota is used up: {_DISK_FULL}",
    "File too large": "a file may not become so large: raise `ulimit -f`, then run this again",
    "os error 27": "a file may not become so large: raise `ulimit -f`, then run this again",  # the same, of safetensors
    "disk is full": _DISK_FULL,
    "disk I/O error": "the disk of {lake} or of {temporary} is full or broken: free some space, then run this again",
    "ConcurrentAppend": _OTHER_WRITER,
    "ConcurrentDelete": _OTHER_WRITER,
    "ConcurrentModification": _OTHER_WRITER,
    "Failed to commit transaction": _OTHER_WRITER,
    "Permission denied": "a file or folder cannot be written: check who owns LAKE and the temporary folder",
    "Read-only file system": "the disk of {lake} or of {temporary} is read-only: make it writable, or choose another",
    **dict.fromkeys(
        ("ACCESS_DENIED", "AccessDenied", "SIGNATURE_DOES_NOT_MATCH", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
        "the S3 store refuses the keys: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do",
    ),
    **dict.fromkeys(
        ("To create buckets", "NoSuchBucket", "NO_SUCH_BUCKET"),
        "a bucket does not exist in the S3 store: create it, or check LAKE and DATA",
    ),
    **dict.fromkeys(
        ("AWS Error NETWORK_CONNECTION", "error sending request", "169.254.169.254", "Generic S3 error"),
        "no S3 store answers: check AWS_ENDPOINT_URL, AWS_REGION and the keys in the environment, then run this again",
    ),
    "UNAUTHENTICATED": (
        "the Spark server refused this client: set SPARK_CONNECT_AUTHENTICATE_TOKEN to the token of the server"
    ),
    "FAILED_READ_FILE.FILE_NOT_EXIST": (
        "a table version that this run reads is gone: clear ingest, so that the run begins with the newest one"
    ),
    "No module named 'torch'": (
        "Spark's executors lack PyTorch: install torch and safetensors there, or raise SPARK_FROM_ROWS and set"
        " ranker.spark_parts to 0"
    ),
    "Python worker exited unexpectedly": (
        "a Python process of Spark's executors died, perhaps for lack of memory: give the executors more, or ask them"
        " for less at once"
    ),
    "Out of Memory Error": "DuckDB ran out of memory: let Spark do this, with a smaller SPARK_FROM_ROWS",
    "OutOfMemoryError": "Spark ran out of memory: raise SPARK_DRIVER_MEMORY, which is {memory}",
}


def main(run: RunJob, add_arguments: AddArguments | None = None, **instead: RunJob) -> None:
    """Run one job from the command line.

    If the job fails, the last line on standard error is a sentence that names the cause. The exit code is 1 if
    a person must correct something, and 2 if another try may help.

    run            the job: `run(lake, settings, day, **options)`
    add_arguments  adds the job's own options to the parser
    instead        by the name of an option: the job that runs instead if the option is given. It has the option's name
    """
    name = _job_name(run)
    options = _parse_arguments(name, sys.modules[run.__module__].__doc__, add_arguments)
    for option, other_job in instead.items():
        if options[option] is None:
            del options[option]
        else:
            name, run = option, other_job
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        _run_job(name, run, options.pop("day"), options)
    except UserError as error:
        sys.exit(printable(f"{name} failed: {error}"))
    except Exception as error:
        sentence = error_sentence(error)
        if sentence.startswith("unexpected"):
            traceback.print_exc()
        print(printable(f"{name} failed: {sentence}"), file=sys.stderr)
        sys.exit(2)


def _job_name(run: RunJob) -> str:
    """The name that the job has in `python -m jobs.<name>`."""
    spec = sys.modules[run.__module__].__spec__
    return (spec.name if spec else run.__module__).removeprefix("jobs.")


def _parse_arguments(name: str, description: str | None, add_arguments: AddArguments | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog=f"python -m jobs.{name}", description=description)
    parser.add_argument("--day", type=parse_day, required=True, help="the day to process, such as 2026-11-20")
    if add_arguments:
        add_arguments(parser)
    try:
        return vars(parser.parse_args())
    except SystemExit as stop:  # argparse exits with 2, after which the DAG would try again
        sys.exit(1 if stop.code else 0)


def parse_day(text: str) -> date:
    """Parse a day of the command line, for argparse. Days after tomorrow are refused.

    A mistyped year would otherwise publish a day that no later day can follow.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it as 2026-11-20") from None
    today = datetime.now(UTC).date()
    if day > today + timedelta(days=1):  # in some time zones it is tomorrow already
        raise argparse.ArgumentTypeError(f"{text} is in the future: today is {today} (UTC)")
    if day < FIRST_DAY:
        raise argparse.ArgumentTypeError(f"{text} is before {FIRST_DAY}, the first day that a log can have")
    return day


def _run_job(name: str, run: RunJob, day: date, options: dict[str, Any]) -> None:
    """Run the job on the lake, record the run in ops.runs and print its result as one JSON line."""
    started = psutil.Process().create_time()
    lake = Lake(lake_root(), run_id=uuid.uuid4().hex[:12], dag_run=os.environ.get("DAG_RUN") or None)
    if name != "ingest" and not DeltaTable.is_deltatable(lake.path(RUNS)):
        raise UserError(f"there is no lake at {lake.root}: run ingest first, or check LAKE")
    use_last_profile(lake)
    settings = load_settings()
    startup = time.time() - started
    with lock_job(lake.root, name):
        pin_run(lake, lake.create(), name, day)
        if name not in ("ingest", "maintain"):
            check_filled(lake)
        with heartbeat(name):
            result = run(lake, settings, day, **options)
    row = {
        "run_id": lake.run_id,
        "job": name,
        "day": day,
        "started_at": datetime.fromtimestamp(started, UTC),
        "seconds": time.time() - started,
        "startup_seconds": startup + lake.spark_seconds,
        "inputs": list(lake.inputs.items()),
        "outputs": list(lake.outputs.items()),
        "settings_hash": settings.hash,
        "code_commit": _code_commit(),
        "rows_in": result.rows_in,
        "rows_out": result.rows_out,
        "rows_rejected": result.rows_rejected,
        "rows_duplicate": result.rows_duplicate,
        "rows_conflicting": result.rows_conflicting,
        "profile": settings.profile,
    }
    write_deltalake(lake.path(RUNS), pa.Table.from_pylist([row], contracts()[RUNS].arrow), mode="append")
    if reason := result.notes.get("skipped"):
        print(printable(f"skipped: {reason}"), file=sys.stderr, flush=True)
    last_line = {**row, **result.notes, "inputs": lake.inputs, "outputs": lake.outputs}
    print(json.dumps(last_line, default=str), flush=True)
    # Airflow reads the last line of both streams: nothing that a library says at exit may follow it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def use_last_profile(lake: Lake) -> None:
    """Set PROFILE to that of the last ingest, unless it is set."""
    if os.environ.get("PROFILE") or not DeltaTable.is_deltatable(lake.path(RUNS)):
        return
    if profile := last_ingest_profile(lake):
        os.environ["PROFILE"] = profile


def last_ingest_profile(lake: Lake) -> str | None:
    """Find the profile of the last ingest.

    The jobs of a lake must agree on it: an item that the encoder of one profile embedded has no vector for another.
    """
    runs = arrow_dataset(DeltaTable(lake.path(RUNS)))
    if "profile" not in runs.schema.names:  # the lake of an older version of this code
        return None
    ingests = runs.to_table(["profile", "started_at"], pc.field("job") == "ingest")
    ingests = ingests.sort_by([("started_at", "descending")])
    return ingests["profile"][0].as_py() if ingests.num_rows else None


def _code_commit() -> str | None:
    describe = ["git", "describe", "--always", "--dirty=+"]
    git = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True)
    return git.stdout.strip() or None if git.returncode == 0 else None


def error_sentence(error: BaseException) -> str:
    """Say in one sentence what went wrong and what to do. It starts with "unexpected" if the error is not known."""
    if isinstance(error, UserError):
        return str(error)
    if type(error) is ConnectionError:  # of a language model's endpoint; libraries raise subclasses of it
        return f"{error}; the answers so far are saved: run this again"
    text = f"{type(error).__name__}: {error}"
    if error.__cause__:
        text += f" ({error.__cause__})"
    for part, sentence in _SENTENCES.items():
        if part in text:
            memory = os.environ.get("SPARK_DRIVER_MEMORY") or "2g"
            return sentence.format(memory=memory, lake=lake_root(), temporary=tempfile.gettempdir())
    return f"unexpected {text.splitlines()[0][:300]}; the lines above show where"
