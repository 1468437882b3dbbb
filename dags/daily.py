"""# daily: one day of behaviour logs becomes a published release

**What a run does.**

1. `wait` waits until the day's log files are complete. `ingest` reads them, sets bad lines aside and checks the tables.
2. `pairs` and `two_tower` find pairs of items that belong together; `judge` keeps the meaningful ones.
3. `ask` writes questions about new items, `embed` turns new and changed items into vectors, and `align` tunes the
   encoder that makes these vectors (it is off by default). `quantize` gives each item its semantic ID.
4. `generate` finds items for every active user ahead of time, with the item graph and with a trained generator.
   `samples` builds training examples, `train` trains a new model, the challenger, and `evaluate` compares it with the
   live model, the champion, and decides which of them goes live.
5. `recommend` computes a list of items for every active user by that model, `promote` publishes it, and `report` writes
   a page about the run.

You can clear a task and run it again: a task replaces only the rows of its own day. If its run is older than a week,
clear `ingest`, so that the run begins again with the tables as they are. A task is skipped if
it had nothing to do; its log says why.

**Switch it on.** Runs and backfills wait while the DAG is paused. When you switch it on, it processes the day that has
just ended.

**Which day.** A scheduled run starts at midnight UTC and processes the day that has just ended, which is the start of
its data interval. If you trigger a run yourself, you can choose another day with the parameter `day`. A backfill
processes a range of days, one at a time, oldest first. Other runs can work beside a backfill; a task then waits until
the same task of the other run has ended.

**Parameters.**

- `day`: the day to process, for example 2026-11-20. Empty: the start of the run's data interval.
- `profile`: demo (simulated logs), small (real logs, CPU only), gpu (large encoder, one GPU), or one of your own in
  `profiles/`. Empty: the profile of the last ingest.
- `data`: the landing folder, which holds the files with events and items.
- `since`: first date of the history to read together with the day. Empty: the run reads only the day itself.
- `force`: embed every item again, including items whose text and encoder did not change.

**Waiting.** The files of a day are complete if none of them changed in the last minute, or if the folder of the day
holds a file `_SUCCESS`. `wait` looks once a minute and is deferred in between, so it keeps no worker busy. It fails 12
hours after the end of the day (UTC) if the day has no events until then. Both limits are settings: `[landing]
settle_seconds` and `wait_hours`. If a day may have no events at all, set `may_be_empty`.

**Limits.** A try of a task may take 6 hours, and a run 24 hours, so that a task that hangs does not stop the days after
it. What a stopped task has saved is not lost: clear the task, and it goes on.

**When a task is red.** The last line of its log names the cause. Correct the cause, then clear the task: Airflow runs
it and all tasks after it again. Airflow tries each task three times and waits longer each time, except if the error is
one that only you can correct. If the challenger does not pass the gate, no task fails, and the champion stays live.

**After a run.** If `promote` published a release, it updates the asset `sidereal://release`. Schedule your own DAGs on
this asset. If there was nothing to publish, `promote` is skipped.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param
from job_operators import JOBS_PYTHON, REPOSITORY, JobOperator, WaitOperator

RELEASE = Asset("sidereal://release")
PROFILES = sorted(file.stem for file in (REPOSITORY / "profiles").glob("*.toml"))

# Parameters reach the shell only as quoted environment variables, so that no value can become a command.
ENVIRONMENT = {
    "DAG_RUN": "{{ run_id }}",  # the tasks of a run read the tables in one state
    "DAY": "{{ params.day or (data_interval_start | ds) }}",
    "PROFILE": "{{ params.profile or '' }}",
    "DATA": "{{ params.data or '' }}",
    "SINCE": "{{ params.since or '' }}",
    "FORCE": "{{ '1' if params.force else '' }}",
    "WAITING_SINCE": "{{ dag_run.start_date.isoformat() }}",
    "OMP_WAIT_POLICY": "PASSIVE",  # torch's idle threads sleep, so that another task can use the core
}
SINCE_OPTION = '${SINCE:+--since "$SINCE"}'
JOB_OPTIONS = {
    "wait": '--data "$DATA" --waiting-since "$WAITING_SINCE"',
    "ingest": f'--data "$DATA" {SINCE_OPTION}',
    "samples": SINCE_OPTION,
}
GPU_TASKS = ("align", "ask", "embed", "evaluate", "generate", "judge", "quantize", "recommend", "train", "two_tower")

# A task of a usual day takes minutes, and a large model's training hours. Three tries of 6 hours fit into a run.
TASK_LIMIT = timedelta(hours=6)
# A run starts every 24 hours, one at a time: a longer run would make the next day late.
RUN_LIMIT = timedelta(hours=24)


def job(name: str, module: str = "", operator: type[JobOperator] = JobOperator) -> JobOperator:
    """Make the task that runs one job with the jobs' Python, which is not Airflow's."""
    command = f'exec {JOBS_PYTHON} -m jobs.{module or name} --day "$DAY" {JOB_OPTIONS.get(name, "")}'
    return operator(
        task_id=name,
        bash_command=command.rstrip(),
        cwd=str(REPOSITORY),
        env=ENVIRONMENT,
        append_env=True,
        pool="gpu" if name in GPU_TASKS else "default_pool",
        outlets=[RELEASE] if name == "promote" else [],
        trigger_rule="none_failed",  # a skipped task had nothing to do: the tasks after it still run
    )


with DAG(
    dag_id="daily",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=RUN_LIMIT,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "execution_timeout": TASK_LIMIT,
        "max_active_tis_per_dag": 1,  # in an object store, no lock keeps two runs of a job apart
    },
    params={
        "day": Param(None, type=["null", "string"], format="date"),
        "profile": Param(os.environ.get("PROFILE") or None, type=["null", "string"], enum=[None, *PROFILES]),
        "data": Param(os.environ.get("DATA") or "landing", type="string", minLength=1),
        "since": Param(None, type=["null", "string"], format="date"),
        "force": Param(False, type="boolean"),
    },
) as dag:
    wait = job("wait", "landing.ready", WaitOperator)
    ingest, samples, pairs, two_tower = job("ingest"), job("samples"), job("pairs"), job("two_tower")
    judge, embed, train, evaluate = job("judge"), job("embed"), job("train"), job("evaluate")
    ask, align, quantize, generate = job("ask"), job("align"), job("quantize"), job("generate")
    recommend, promote, report = job("recommend"), job("promote"), job("report")

    wait >> ingest >> [pairs, samples, embed, ask]
    [pairs, samples] >> two_tower
    [two_tower, embed] >> judge
    [embed, ask] >> align >> quantize
    [quantize, samples] >> train >> evaluate
    [quantize, samples] >> generate
    [evaluate, judge, generate] >> recommend >> promote >> report
