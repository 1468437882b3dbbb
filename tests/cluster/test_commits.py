"""Several processes commit to one table in an S3 store at the same time: Spark's drivers and delta-rs."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from object_store import start_object_store
from services import Services

SPARK_COMMITS = 8
# Once all writers are ready, each appends rows of its name, one row in a commit, and prints how many. Spark is slower:
# delta-rs goes on until Spark's drivers have ended, so that somebody commits at any moment.
READY = """
import pathlib, sys, time
name, table, folder = sys.argv[1:]
def mark(state):
    pathlib.Path(folder, f"{name} {state}").touch()
def count(state):
    return len(list(pathlib.Path(folder).glob(f"* {state}")))
def wait():
    mark("ready")
    while count("ready") < 4:
        time.sleep(0.05)
"""
DELTA_RS = f"""{READY}
import pyarrow as pa
from deltalake import CommitProperties, write_deltalake
wait()
n = 0
while count("done") < 2:
    rows, tries = pa.table({{"writer": [name], "n": [n]}}), CommitProperties(max_commit_retries=100)
    write_deltalake(table, rows, mode="append", commit_properties=tries)
    n += 1
print(n)
"""
SPARK = f"""{READY}
from jobs.lake.session import spark_session
from jobs.lake.store import spark_address
session = spark_session("file:/tmp/warehouse")
session.range(10).collect()
wait()
try:
    for n in range({SPARK_COMMITS}):
        rows = session.createDataFrame([(name, n)], "writer string, n bigint").coalesce(1)
        rows.write.format("delta").mode("append").save(spark_address(table))
finally:
    mark("done")
print({SPARK_COMMITS})
"""


def test_no_commit_of_several_writers_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(tmp_path / "logs")
    try:
        env = start_object_store(services, tmp_path / "store", ("lake",)) | {"AWS_ALLOW_HTTP": "true"}
        env |= {"PYTHONPATH": ".", "SPARK_MASTER": "local[1]", "SPARK_DRIVER_MEMORY": "1g"}
        monkeypatch.delenv("SPARK_REMOTE", raising=False)
        writers = {"jvm 1": SPARK, "jvm 2": SPARK, "delta-rs 1": DELTA_RS, "delta-rs 2": DELTA_RS}
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        DeltaTable.create("s3://lake/table", pa.schema({"writer": pa.string(), "n": pa.int64()}))
        (tmp_path / "ready").mkdir()
        running = {
            name: subprocess.Popen(
                [sys.executable, "-c", program, name, "s3://lake/table", str(tmp_path / "ready")],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for name, program in writers.items()
        }  # fmt: skip
        committed = {}
        for name, process in running.items():
            output, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors[-3000:]
            committed[name] = int(output.splitlines()[-1])
        table = DeltaTable("s3://lake/table")
        rows = table.to_pyarrow_table().to_pylist()
        written = Counter((row["writer"], row["n"]) for row in rows)
        expected = Counter((name, n) for name, number in committed.items() for n in range(number))
        assert (list(expected - written)[:9], list(written - expected)[:9]) == ([], [])
        assert table.version() == len(rows)
        assert committed["delta-rs 1"] > SPARK_COMMITS  # they did write at the same time
    finally:
        services.stop()
