"""A file of silver.events that is gone: jobs that read it as a stream say so in a sentence, and publish nothing."""

from pathlib import Path
from types import ModuleType

import pytest

from jobs import pairs, samples
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings
from tests.conftest import RETAIL_LAST
from tests.jobs.test_engines import copy


@pytest.mark.parametrize("job", [pairs, samples])
def test_a_missing_file_is_a_sentence_about_its_table(
    job: ModuleType, retail: tuple[Lake, object], settings: Settings, tmp_path: Path
) -> None:
    lake = copy(retail[0], tmp_path / "lake")
    next(Path(lake.path("silver.events")).glob(f"day={RETAIL_LAST}/*.parquet")).unlink()
    before = {table: lake.version(table) for table in ("silver.item_pairs", "gold.samples")}
    with pytest.raises(UserError, match=r"silver\.events .* is damaged"):
        job.run(lake, settings, RETAIL_LAST)
    assert {table: lake.version(table) for table in before} == before
