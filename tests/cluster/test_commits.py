"""Several processes commit to one table in an S3 store at the same time: Spark's drivers and delta-rs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable
from object_store import start_object_store
from services import Services

COMMITS = 12
# Each writer appends rows 0 to COMMITS - 1 under its name, one row in a commit, once all are ready.
WAIT = """
import pathlib, sys, time
name, table, folder = sys.argv[1:]
def wait():
    pathlib.Path(folder, name).touch()
    while len(list(pathlib.Path(folder).iterdir())) < 4:
        time.sleep(0.05)
"""
DELTA_RS = f"""{WAIT}
import pyarrow as pa
from deltalake import write_deltalake
wait()
for n in range({COMMITS}):
    write_deltalake(table, pa.table({{"writer": [name], "n": [n]}}), mode="append")
    time.sleep(0.5)  # Spark is slower
"""
SPARK = f"""{WAIT}
from jobs.lake.session import spark_session
from jobs.lake.store import spark_address
session = spark_session("file:/tmp/warehouse")
session.range(10).collect()
wait()
for n in range({COMMITS}):
    rows = session.createDataFrame([(name, n)], "writer string, n bigint").coalesce(1)
    rows.write.format("delta").mode("append").save(spark_address(table))
"""


def test_no_commit_of_several_writers_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(tmp_path / "logs")
    try:
        env = {**os.environ, **start_object_store(services, tmp_path / "store", ("lake",)), "AWS_ALLOW_HTTP": "true"}
        env |= {"PYTHONPATH": ".", "SPARK_MASTER": "local[1]", "SPARK_DRIVER_MEMORY": "1g"}
        env.pop("SPARK_REMOTE", None)
        writers = {"jvm 1": SPARK, "jvm 2": SPARK, "delta-rs 1": DELTA_RS, "delta-rs 2": DELTA_RS}
        (tmp_path / "ready").mkdir()
        running = {
            name: subprocess.Popen(
                [sys.executable, "-c", program, name, "s3://lake/table", str(tmp_path / "ready")],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for name, program in writers.items()
        }  # fmt: skip
        for process in running.values():
            output, _ = process.communicate(timeout=400)
            assert process.returncode == 0, output[-3000:]
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        table = DeltaTable("s3://lake/table")
        rows = table.to_pyarrow_table().to_pylist()
        assert sorted((row["writer"], row["n"]) for row in rows) == sorted(
            (w, n) for w in writers for n in range(COMMITS)
        )
        assert table.version() == len(rows) - 1
    finally:
        services.stop()
