"""# maintenance: keep the tables small

Each week, `maintain` merges the small files of every table, and deletes the files of old versions. What the newest
releases name stays readable (`[maintain] releases`, 14 by default). It may run beside a daily run: days that were
written in the last two days are not merged. If both write one table at the same moment, one of them fails and is
tried again.

**Switch it on.** It waits while the DAG is paused. You can also trigger it yourself.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from job_operators import JOBS_PYTHON, REPOSITORY, JobOperator

with DAG(
    dag_id="maintenance",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 12 * * SUN", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
) as dag:
    JobOperator(
        task_id="maintain",
        bash_command=f'exec {JOBS_PYTHON} -m jobs.maintain --day "$DAY"',
        cwd=str(REPOSITORY),
        env={"DAY": "{{ dag_run.run_after | ds }}"},
        append_env=True,
        retries=3,
        execution_timeout=timedelta(hours=6),
        retry_delay=timedelta(minutes=10),
    )
