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


def damage(lake: Lake, table: str, folder: Path) -> Lake:
    """A copy of the lake without the table's file of the last day."""
    damaged = copy(lake, folder)
    next(Path(damaged.path(table)).glob(f"*={RETAIL_LAST}/*.parquet")).unlink()
    return damaged


@pytest.mark.parametrize(("job", "table"), [(pairs, "silver.histories"), (samples, "silver.events")])
def test_a_missing_file_is_a_sentence_about_its_table(
    job: ModuleType, table: str, retail: tuple[Lake, object], settings: Settings, tmp_path: Path
) -> None:
    damaged = damage(retail[0], table, tmp_path / "lake")
    before = {name: damaged.version(name) for name in ("silver.item_pairs", "gold.samples")}
    with pytest.raises(UserError, match=rf"{table} .* is damaged"):
        job.run(damaged, settings, RETAIL_LAST)
    assert {name: damaged.version(name) for name in before} == before


def test_a_missing_file_is_a_sentence_in_the_middle_of_streams_too(retail: tuple[Lake, object], tmp_path: Path) -> None:
    damaged = damage(retail[0], "silver.events", tmp_path / "lake")
    schema = pa.schema([("item_id", pa.string())])
    ids = Stream(schema, damaged.stream("SELECT item_id FROM silver.events"))
    with pytest.raises(UserError, match=r"silver\.events .* is damaged"):
        list(damaged.stream("SELECT count(*) FROM ids", {"ids": ids}))
