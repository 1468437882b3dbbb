"""A job that is killed leaves nothing that running it again does not mend."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from jobs import align, embed, ingest, pairs, promote, quantize, recommend, samples, train, two_tower
from jobs.encoders.settings import Align
from jobs.lake import JobResult, Lake
from jobs.settings.tree import Settings
from tests.chain import AFTER_SAMPLES, LAST, SMALL, Chain, content
from tests.conftest import DATA, RETAIL_FIRST, RETAIL_LAST


def kill_at(step: str, lake: Lake) -> None:
    """Start ingest as its own process and kill it and its JVM at the step that it announces."""
    command = [sys.executable, "-m", "jobs.ingest", "--data", str(DATA / "online_retail")]
    command += ["--day", str(RETAIL_LAST), "--since", str(RETAIL_FIRST)]
    env = {**os.environ, "LAKE": lake.root, "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert running.stderr is not None
    reached = any(step in line for line in running.stderr)
    os.killpg(running.pid, signal.SIGKILL)
    running.stderr.close()
    assert reached
    assert running.wait() == -signal.SIGKILL


def test_an_ingest_that_was_killed_and_runs_again_ends_in_the_tables_of_an_undisturbed_one(
    retail: tuple[Lake, JobResult], settings: Settings, tmp_path: Path
) -> None:
    killed = Lake(tmp_path / "killed")
    killed.create()
    kill_at("keeping each event", killed)
    ingest.run(killed, settings, RETAIL_LAST, data=DATA / "online_retail", since=RETAIL_FIRST)
    assert content(killed) == content(retail[0])


DIE = """
import os, runpy, signal, sys
from jobs.release import model_store
from jobs.release import mlflow_registry as tracking
from jobs.lake import Lake

job, day, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
def dying(write):
    def written(*args, **kwargs):
        global left
        told = write(*args, **kwargs)
        left -= 1
        if not left:
            os.killpg(0, signal.SIGKILL)
        return told
    return written
Lake.replace, Lake.append = dying(Lake.replace), dying(Lake.append)
model_store.save_model = dying(model_store.save_model)
tracking.register = dying(tracking.register)
sys.argv = [job, "--day", day]
runpy.run_module(f"jobs.{job}", run_name="__main__")
"""
# The jobs that write more than once (one commit alone is all or nothing).
# After how many writes: pairs not checked or measured, vectors or IDs not measured, no DIN, no metrics, no release.
KILLED = {pairs: 1, two_tower: 1, embed: 1, quantize: 1, train: 1, recommend: 1, promote: 2}


def kill_after(writes: int, name: str, lake: Lake, **environment: str) -> None:
    """Run a job of the last day as its own process, which dies after so many writes."""
    command = [sys.executable, "-c", DIE, name, str(LAST), str(writes)]
    env = {**os.environ, **SMALL, **environment, "LAKE": lake.root}
    died = subprocess.run(command, env=env, start_new_session=True, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr


def test_a_day_whose_jobs_were_killed_between_two_writes_ends_in_the_tables_of_an_undisturbed_one(
    ran: Chain, tmp_path: Path
) -> None:
    shutil.copytree(ran.before, tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    ingest.run(lake, ran.settings, LAST, data=ran.landing)
    samples.run(lake, ran.settings, LAST)
    for job in AFTER_SAMPLES:
        if job in KILLED:
            kill_after(KILLED[job], job.__name__.removeprefix("jobs."), lake)
        job.run(lake, ran.settings, LAST)
    after = content(lake)
    assert [name for name in after if after[name] != ran.content[name]] == []


def test_an_align_that_was_killed_between_its_vectors_and_its_row_ends_in_the_tables_of_an_undisturbed_one(
    ran: Chain, tmp_path: Path
) -> None:
    chosen = {"every_days": 1, "min_pairs": 1, "steps": 1, "items_per_batch": 16}
    settings = ran.settings.model_copy(update={"align": Align.model_validate(chosen)})
    lakes = [Lake(shutil.copytree(ran.lake.root, tmp_path / name)) for name in ("undisturbed", "killed")]
    kill_after(1, "align", lakes[1], **{f"SIDEREAL_ALIGN__{name.upper()}": str(n) for name, n in chosen.items()})
    assert not lakes[1].arrow("gold.encoders").num_rows
    found = [align.run(lake, settings, LAST).notes for lake in lakes]
    assert found[0] == found[1]
    assert content(lakes[0]) == content(lakes[1])
