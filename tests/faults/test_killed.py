"""A job that was killed can run again, and the tables are then the same as if it had not been killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from jobs import (
    align,
    embed,
    evaluate,
    generate,
    ingest,
    pairs,
    promote,
    quantize,
    recommend,
    samples,
    train,
    two_tower,
)
from jobs.encoders.settings import Align
from jobs.lake import JobResult, Lake
from jobs.settings.tree import Settings, load_settings
from tests.chain import AFTER_SAMPLES, LAST, SMALL, Chain, content
from tests.conftest import DATA, RETAIL_FIRST, RETAIL_LAST
from tests.jobs.landing.test_ingest import DAY1, DAY2, DAY3, build_event, write_log


def kill_ingest_at(step: str, lake: Lake) -> None:
    """Start ingest in a process of its own. Kill it and its JVM when it reports that it reached `step`."""
    command = [sys.executable, "-m", "jobs.ingest", "--data", str(DATA / "online_retail")]
    command += ["--day", str(RETAIL_LAST), "--since", str(RETAIL_FIRST)]
    env = {**os.environ, "LAKE": lake.root, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stderr is not None
    was_reached = any(step in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGKILL)
    process.stderr.close()
    assert was_reached
    assert process.wait() == -signal.SIGKILL


def test_an_ingest_that_was_killed_and_runs_again_writes_the_tables_of_an_undisturbed_ingest(
    retail: tuple[Lake, JobResult], settings: Settings, tmp_path: Path
) -> None:
    killed = Lake(tmp_path / "killed")
    killed.create()
    kill_ingest_at("keeping each event", killed)
    ingest.run(killed, settings, RETAIL_LAST, data=DATA / "online_retail", since=RETAIL_FIRST)
    assert content(killed) == content(retail[0])


PUBLISHED = (  # in this order
    "bronze.raw_events", "bronze.raw_items", "silver.item_ids", "silver.events", "silver.histories", "silver.items",
)  # fmt: skip
KILLED_AFTER = {
    "metrics, with all rows staged": 2, "raw_events": 3, "raw_items": 4, "item_ids": 5, "events": 6, "histories": 7,
    "items": 8,
}  # fmt: skip


class Corrected(NamedTuple):
    """A lake with two days, and a landing folder with a third day and corrected files of the second; only to read.

    before, after  the content of its tables as they are, and after an ingest of the third day
    """

    lake: Path
    landing: Path
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    root, settings = tmp_path_factory.mktemp("corrected"), load_settings()
    lake, folder = Lake(root / "lake"), root / "landing"
    lake.create()
    write_log(folder / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    write_log(folder / str(DAY2), "events.jsonl.gz", [build_event(2, DAY2), build_event(3, DAY1), "bad"])
    write_log(folder / str(DAY2), "items.jsonl.gz", [{"item_id": "i", "title": "old"}, {"item_id": "j"}])
    for day in (DAY1, DAY2):
        ingest.run(Lake(lake.root, run_id=f"run {day}"), settings, day, data=folder)
    # The corrected files lack a late event and an item.
    write_log(folder / str(DAY2), "events.jsonl.gz", [build_event(2, DAY2, value=5)])
    write_log(folder / str(DAY2), "items.jsonl.gz", [{"item_id": "i", "title": "new"}])
    write_log(folder / str(DAY3), "events.jsonl.gz", [build_event(4, DAY3)])
    undisturbed = Lake(shutil.copytree(lake.root, root / "undisturbed"))
    ingest.run(undisturbed, settings, DAY3, data=folder)
    return Corrected(root / "lake", folder, content(lake), content(undisturbed))


@pytest.mark.parametrize("writes", KILLED_AFTER.values(), ids=KILLED_AFTER)
def test_readers_of_an_ingest_that_was_killed_see_old_or_checked_rows_and_the_next_run_completes_them(
    corrected: Corrected, settings: Settings, tmp_path: Path, writes: int
) -> None:
    lake = Lake(shutil.copytree(corrected.lake, tmp_path / "lake"))
    before, after = corrected.before, corrected.after
    kill_after(writes, "ingest", lake, DAY3, ["--data", str(corrected.landing)])
    left = content(lake)
    assert [name for name in PUBLISHED if left[name] not in (before[name], after[name])] in ([], ["silver.items"])
    changed = [name for name in PUBLISHED[:-1] if before[name] != after[name]]
    assert len(changed) >= 4  # no new item
    published = [name for name in changed if left[name] == after[name]]
    assert published == [name for name in PUBLISHED[: writes - 2] if name in changed]
    ingest.run(Lake(lake.root), settings, DAY3, data=corrected.landing)
    tables = content(lake)
    assert [name for name in tables if tables[name] != after[name]] == []


DIE_AFTER_WRITES = """
import os, runpy, signal, sys
from jobs.release import model_store
from jobs.release import mlflow_registry as tracking
from jobs.lake import Lake
from jobs.lake.staged_table import StagedTable

job, day, writes_left = sys.argv[1], sys.argv[2], int(sys.argv[3])
def count_writes(write):
    def counted_write(*args, **kwargs):
        global writes_left
        result = write(*args, **kwargs)
        writes_left -= 1
        if not writes_left:
            os.killpg(0, signal.SIGKILL)
        return result
    return counted_write
Lake.replace, Lake.append = count_writes(Lake.replace), count_writes(Lake.append)
StagedTable.publish = count_writes(StagedTable.publish)
model_store.save_model = count_writes(model_store.save_model)
tracking.register_release = count_writes(tracking.register_release)
sys.argv = [job, "--day", day, *sys.argv[4:]]
runpy.run_module(f"jobs.{job}", run_name="__main__")
"""
# The jobs that write more than once (a single commit is all or nothing), and the number of writes after which they die.
# Then pairs are not measured, vectors and IDs are not measured, and there are no generated items, no DIN, no decision,
# no metrics of lists, no release.
WRITES_BEFORE_KILL = {
    pairs: 1, two_tower: 1, embed: 1, quantize: 1, generate: 1, train: 1, evaluate: 1, recommend: 1, promote: 2,
}  # fmt: skip


def kill_after(
    writes: int,
    name: str,
    lake: Lake,
    day: date = LAST,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a job of a day in a process of its own, which dies after this number of writes."""
    command = [sys.executable, "-c", DIE_AFTER_WRITES, name, str(day), str(writes), *options]
    env = {**os.environ, **SMALL, **(environment or {}), "LAKE": lake.root}
    process = subprocess.run(command, env=env, start_new_session=True, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr


def test_a_day_whose_jobs_were_killed_between_two_writes_has_the_tables_of_an_undisturbed_day(
    ran: Chain, tmp_path: Path
) -> None:
    shutil.copytree(ran.before, tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    ingest.run(lake, ran.settings, LAST, data=ran.landing)
    samples.run(lake, ran.settings, LAST)
    for job in AFTER_SAMPLES:
        if job in WRITES_BEFORE_KILL:
            kill_after(WRITES_BEFORE_KILL[job], job.__name__.removeprefix("jobs."), lake)
        job.run(lake, ran.settings, LAST)
    tables = content(lake)
    assert [name for name in tables if tables[name] != ran.content[name]] == []


def test_an_align_that_was_killed_before_it_wrote_its_row_writes_the_tables_of_an_undisturbed_align(
    ran: Chain, tmp_path: Path
) -> None:
    align_settings = {"every_days": 1, "min_pairs": 1, "steps": 1, "items_per_batch": 16}
    settings = ran.settings.model_copy(update={"align": Align.model_validate(align_settings)})
    undisturbed, killed = (Lake(shutil.copytree(ran.lake.root, tmp_path / name)) for name in ("undisturbed", "killed"))
    environment = {f"SIDEREAL_ALIGN__{name.upper()}": str(value) for name, value in align_settings.items()}
    kill_after(1, "align", killed, environment=environment)
    assert not killed.arrow("gold.encoders").num_rows
    notes = align.run(undisturbed, settings, LAST).notes
    assert align.run(killed, settings, LAST).notes == notes
    assert content(undisturbed) == content(killed)
