"""A file of a table is gone: jobs that read it as a stream say so in a sentence, and publish nothing."""

from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from jobs import pairs, samples
from jobs.lake import Lake, UserError
from jobs.lake.reader import Stream
from jobs.settings.tree import Settings
from tests.conftest import RETAIL_LAST
from tests.jobs.test_engines import copy


@pytest.fixture
def damaged(retail: tuple[Lake, object], tmp_path: Path) -> Lake:
    lake = copy(retail[0], tmp_path / "lake")
    for table, column in (("events", "day"), ("histories", "span")):
        next(Path(lake.path(f"silver.{table}")).glob(f"{column}={RETAIL_LAST}/*.parquet")).unlink()
    return lake


@pytest.mark.parametrize(("job", "table"), [(pairs, "histories"), (samples, "events")])
def test_a_missing_file_is_a_sentence_about_its_table(
    job: ModuleType, table: str, damaged: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: damaged.version(name) for name in ("silver.item_pairs", "gold.samples")}
    monkeypatch.setattr("jobs.samples.choose_label", lambda *_: "purchase")  # it reads silver.histories
    with pytest.raises(UserError, match=rf"silver\.{table} .* is damaged"):
        job.run(damaged, settings, RETAIL_LAST)
    assert {name: damaged.version(name) for name in before} == before


def test_a_missing_file_is_a_sentence_in_the_middle_of_streams_too(damaged: Lake) -> None:
    schema = pa.schema([("item_id", pa.string())])
    ids = Stream(schema, damaged.stream("SELECT item_id FROM silver.events"))
    with pytest.raises(UserError, match=r"silver\.events .* is damaged"):
        list(damaged.stream("SELECT count(*) FROM ids", {"ids": ids}))
