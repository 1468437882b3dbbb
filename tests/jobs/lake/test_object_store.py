"""A lake and a landing folder in an S3 store (SeaweedFS). What Spark does there, `make cluster-test` shows."""

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pyarrow.fs as pafs
import pytest
from object_store import start_object_store
from services import Services

from jobs import ingest
from jobs.lake import Lake, UserError
from jobs.lake.store import COMPLETE, list_files, normal_address, open_store
from jobs.landing import bronze
from jobs.landing.check import check_landing
from jobs.landing.copy import copy_folder
from jobs.landing.files import list_landing_files
from jobs.landing.folder import RemotePath, parse_folder
from jobs.landing.ready import check_readiness
from jobs.landing.settings import Landing
from jobs.release.model_store import is_stored, local_folder, store_folder
from jobs.reporting.publishing import find_report, publish_page
from jobs.runtime.checkpoint import LakeFile, remove_checkpoints
from jobs.runtime.entry import error_sentence
from jobs.settings.tree import Settings

DAY = date(2026, 11, 18)
Line = dict[str, object]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pafs.FileSystem]:
    """The file system of a running store, which the environment names."""
    services = Services(tmp_path_factory.mktemp("logs"))
    before = dict(os.environ)
    try:
        os.environ.update(start_object_store(services, tmp_path_factory.mktemp("store"), ("lake", "landing")))
        yield open_store("s3://lake")[0]
    finally:
        services.stop()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def lake(store: pafs.FileSystem, request: pytest.FixtureRequest) -> Lake:
    assert isinstance(request.node, pytest.Function)
    lake = Lake(f"s3://lake/{request.node.originalname}", run_id="test")
    lake.create()
    return lake


def land(store: pafs.FileSystem, folder: str, name: str, *lines: Line) -> None:
    content = "\n".join(map(json.dumps, lines)).encode()
    with store.open_output_stream(f"landing/{folder}/{name}", compression=None) as file:
        file.write(gzip.compress(content) if name.endswith(".gz") else content)


def event(number: int) -> Line:
    return {"event_id": f"e{number}", "user_id": "u", "item_id": "i", "event": "click", "ts": f"{DAY}T10:00:00Z"}


def test_a_day_is_landed_from_an_object_store_once(store: pafs.FileSystem, lake: Lake, settings: Settings) -> None:
    land(store, "a", f"{DAY}/events.jsonl.gz", event(1), event(2), event(2))
    land(store, "a", f"{DAY}/items.jsonl", {"item_id": "i", "title": "red 50% mug", "updated_at": f"{DAY}T00:00:00Z"})
    land(store, "a", f"{DAY}/events 50%.jsonl", event(3), {"event_id": "bad"})
    folder = parse_folder("s3a://landing/a/")
    for _ in range(2):
        ingest.run(lake, settings, DAY, data=folder)
        events = lake.query("SELECT event_id FROM silver.events ORDER BY 1")["event_id"].to_pylist()
        rejects = lake.query("SELECT file FROM bronze.rejects")["file"].to_pylist()
        assert events == ["e1", "e2", "e3"]
        assert rejects == [f"{DAY}/events 50%.jsonl"]
    assert not list(list_files(store, f"{lake.root[5:]}/staging"))
    assert "silver.items" in store.open_input_file(f"{lake.root[5:]}/data_docs/index.html").read().decode()


def test_folders_that_are_no_logs_are_skipped(store: pafs.FileSystem) -> None:
    for name in ("events.jsonl", "_temporary/0/events.jsonl", ".trash/events.jsonl", "lake/ops/runs/_delta_log/0.json"):
        land(store, "b", name, event(1))
    land(store, "b", "lake/silver/events/events.parquet", event(1))
    assert [file.name for file in list_landing_files(RemotePath("s3://landing/b")).files] == ["events.jsonl"]


def test_wait_sees_when_an_object_was_written(store: pafs.FileSystem) -> None:
    land(store, "c", f"{DAY}/events.jsonl", event(1))
    folder, now = RemotePath("s3://landing/c"), datetime.now(UTC)
    assert not check_readiness(folder, DAY, Landing(), now, waiting_since=now).ready
    assert check_readiness(folder, DAY, Landing(), now + timedelta(seconds=61)).ready
    land(store, "c", f"{DAY}/_SUCCESS")
    assert check_readiness(folder, DAY, Landing(), now).ready


def test_wait_waits_for_the_first_file_of_a_folder(store: pafs.FileSystem) -> None:
    now = datetime.combine(DAY, time(23), UTC)
    assert not check_readiness(RemotePath("s3://landing/nothing"), DAY, Landing(), now).ready
    with pytest.raises(UserError, match="holds no log file"):
        check_readiness(RemotePath("s3://landing/nothing"), DAY, Landing(), now + timedelta(days=2))


def test_a_store_that_stops_to_answer_is_no_damaged_file(
    store: pafs.FileSystem, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(store, "e", f"{DAY}/events.jsonl", event(1))
    read_lines: Any = bronze.read_lines

    def read_lines_without_a_store(*arguments: Any) -> Any:
        with monkeypatch.context() as context:
            context.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            return iter(list(read_lines(*arguments)))

    monkeypatch.setattr(bronze, "read_lines", read_lines_without_a_store)
    with pytest.raises(OSError, match="AWS Error"):
        ingest.run(lake, settings, DAY, data=RemotePath("s3://landing/e"))
    monkeypatch.undo()
    ingest.run(lake, settings, DAY, data=RemotePath("s3://landing/e"))
    assert lake.arrow("silver.events").num_rows == 1
    assert lake.arrow("bronze.rejects").num_rows == 0


def test_a_lake_may_be_in_a_folder_with_a_space(store: pafs.FileSystem) -> None:
    lake = Lake("s3://lake/my lake", run_id="test")
    lake.create()
    assert lake.arrow("ops.runs").num_rows == 0


def test_copying_puts_the_settings_first_and_the_marker_last(
    store: pafs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_SUCCESS", "landing.toml", "events 1%.jsonl"):
        (tmp_path / name).write_text("x")
    sleep(1.1)  # the store knows whole seconds
    copied, copy_files = [], pafs.copy_files

    def copy_and_note(source: str, target: str, **options: Any) -> None:
        copied.append(target.rpartition("/")[2])
        copy_files(source, target, **options)

    monkeypatch.setattr(pafs, "copy_files", copy_and_note)
    out = RemotePath("s3://landing/copied")
    assert [copy_folder(tmp_path, out), copy_folder(tmp_path, out)] == [3, 0]
    assert copied == ["landing.toml", "events 1%.jsonl", "_SUCCESS"]
    assert len(list(list_files(store, "landing/copied"))) == 3


def test_check_landing_proposes_a_file_in_the_store(store: pafs.FileSystem) -> None:
    line: Line = {"userId": "u", "productId": "p1", "type": "view", "time": f"{DAY}T10:00:00Z"}
    land(store, "d", "log.json", *[line] * 9)
    assert check_landing(RemotePath("s3://landing/d"), Landing(), 0.5)
    with store.open_input_stream("landing/d/landing.toml") as file:
        assert b"productId" in file.read()


def test_a_model_folder_is_stored_when_its_last_file_is(store: pafs.FileSystem, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{}")
    root = f"{lake.root[5:]}/models/v1/ranker"
    with store.open_output_stream(f"{root}/weights") as file:  # by a run that was killed
        file.write(b"half")
    assert not is_stored(lake, "models/v1/ranker")
    store_folder(lake, tmp_path, "models/v1/ranker")
    assert is_stored(lake, "models/v1/ranker")
    assert is_stored(lake, "models/v1/ranker/card.json")
    assert sorted(path.name for path in local_folder(lake, "models/v1/ranker").iterdir()) == [COMPLETE, "card.json"]


def test_pages_and_unfinished_work_are_kept_in_the_store(lake: Lake) -> None:
    assert publish_page(lake, str(DAY), "<p>page</p>") == find_report(lake, DAY) == f"{lake.root}/reports/{DAY}.html"
    file = LakeFile(lake.root, "models/unfinished/train/day/a.safetensors")
    assert file.read() is None
    file.write(b"weights")
    assert file.read() == b"weights"
    remove_checkpoints(lake, "train")
    assert file.read() is None


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("s3a://bucket//lake/", "s3://bucket/lake"),
        ("S3://bucket", "s3://bucket"),
        ("file:///data/my%20lake", "/data/my lake"),
        ("file:/data/lake", "/data/lake"),
        ("/data//lake/", "/data/lake"),
    ],
)
def test_an_address_is_written_in_one_way(address: str, normal: str) -> None:
    assert normal_address(address) == normal


@pytest.mark.parametrize(
    "address", ["hdfs://name/lake", "s3://", "s3://a b/lake", "https://b/lake", "file://data/lake"]
)
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"s3://bucket/folder|file:///folder"):
        normal_address(address)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "check AWS_ACCESS_KEY_ID"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "check AWS_ENDPOINT_URL"),
    ],
)
def test_a_store_that_does_not_answer_is_no_damaged_table(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    for read in (lambda: lake.delta("ops.runs"), lambda: list_landing_files(RemotePath("s3://landing/a"))):
        with pytest.raises(OSError, match=r"AWS Error|S3 error") as caught:
            read()
        assert sentence in error_sentence(caught.value)
