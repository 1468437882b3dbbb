"""# daily: one day of behaviour logs becomes a published release

**What a run does.** Lands and checks the day's logs, finds item pairs (Swing, two towers) and lets the judge keep the
meaningful ones, asks questions about new items, tunes the encoder, embeds new and changed items, gives them
semantic IDs, builds training samples, trains a challenger, compares it with yesterday's champion, computes every
user's top-K, promotes the challenger if it is better and writes a report. Each task replaces its own day in one
commit: clearing it, to run it again, is safe. A task that had nothing to do is skipped; its log says why.

**Switch it on.** While it is paused, triggered runs and backfills wait. Switching it on runs the day that just ended.

**Which day.** A scheduled run starts at midnight UTC and processes the day that just ended: the start of its
data interval. A run triggered by hand processes `day` if it is given. A backfill takes a range of dates; its
runs go one at a time, oldest first, but beside other runs; a job then waits for the same job of another run.

**Parameters.**

- `day`: the day to process, for example 2026-11-20. Empty: the start of the run's data interval.
- `profile`: demo (simulated logs), small (real logs, one CPU) or gpu (large encoder, one GPU); none: the lake's.
- `data`: the landing folder that holds the day's events and items.
- `since`: also lands the days from this date on as history, in one go. Empty: only the day itself.
- `force`: embed every item again, also those whose text and encoder are unchanged.

**When a task is red.** Its log ends in the cause in one sentence. Mend that, then clear the task: it and what
follows run again. Each task is tried three times, waiting longer each time. A challenger that does not
beat the champion is no failure: yesterday's champion stays live.

**After a run.** `promote` marks the asset `sidereal://release`, on which other DAGs can be scheduled, when it has
published a release; it is skipped when there was nothing to publish.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, Context, CronDataIntervalTimetable, Param, chain
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

REPOSITORY = Path(__file__).resolve().parent.parent
RELEASE = Asset("sidereal://release")

# Parameters reach the shell as quoted environment variables only, so that no value can become a command.
ENVIRONMENT = {
    "DAY": "{{ params.day or (data_interval_start | ds) }}",
    "PROFILE": "{{ params.profile or '' }}",
    "DATA": "{{ params.data or '' }}",
    "SINCE": "{{ params.since or '' }}",
    "FORCE": "{{ '1' if params.force else '' }}",
    "OMP_WAIT_POLICY": "PASSIVE",  # torch's idle threads must not spin while another task wants the core
}
HISTORY = '${SINCE:+--since "$SINCE"}'
OPTIONS = {"ingest": f'--data "$DATA" {HISTORY}', "samples": HISTORY}
GPU = ("align", "ask", "embed", "evaluate", "judge", "quantize", "recommend", "train", "two_tower")


class Job(BashOperator):
    """One command. Its last line, when it fails, is the cause; code 1 is a mistake that no retry mends."""

    def execute(self, context: Context) -> str:
        run = ["bash", "-c", str(self.bash_command)]
        result = self.subprocess_hook.run_command(run, env=self.get_env(context), cwd=self.cwd)
        if result.exit_code == 1:
            raise AirflowFailException(result.output)
        if result.exit_code != 0:
            raise AirflowException(f"exit code {result.exit_code}; the last line was: {result.output}")
        if '"released": false' in result.output or '"skipped": "' in result.output:
            raise AirflowSkipException(result.output)
        return result.output


def job(name: str) -> Job:
    """One task = one job = one command, run by the jobs' own Python, not Airflow's."""
    command = f'exec .venv/jobs/bin/python -m jobs.{name} --day "$DAY" {OPTIONS.get(name, "")}'
    return Job(
        task_id=name,
        bash_command=command.rstrip(),
        cwd=str(REPOSITORY),
        env=ENVIRONMENT,
        append_env=True,
        pool="gpu" if name in GPU else "default_pool",
        outlets=[RELEASE] if name == "promote" else [],
        trigger_rule="none_failed",  # a skipped task had nothing to do, which stops nobody
    )


with DAG(
    dag_id="daily",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": True},
    params={
        "day": Param(None, type=["null", "string"], format="date"),
        "profile": Param(
            os.environ.get("PROFILE") or None, type=["null", "string"], enum=[None, "demo", "small", "gpu"]
        ),
        "data": Param(os.environ.get("DATA") or "landing", type="string", minLength=1),
        "since": Param(None, type=["null", "string"], format="date"),
        "force": Param(False, type="boolean"),
    },
) as dag:
    ingest, samples, pairs, two_tower = job("ingest"), job("samples"), job("pairs"), job("two_tower")
    judge, embed, train, evaluate = job("judge"), job("embed"), job("train"), job("evaluate")
    chain(ingest, [pairs, samples], two_tower, judge)
    chain(ingest, [embed, job("ask")], job("align"), job("quantize"), train)
    chain(embed, judge)
    chain(samples, train, evaluate)
    chain([evaluate, judge], job("recommend"), job("promote"), job("report"))
