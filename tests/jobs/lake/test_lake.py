"""Reading a table as a stream."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.lake import Lake

REPOSITORY = Path(__file__).parents[3]
ROWS, FILES = 40_000, 12


@pytest.mark.parametrize("name", ["lake", "a lake of é"])
def test_a_process_that_ends_in_the_middle_of_a_stream_ends(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name)
    for part in range(FILES):  # Arrow reads one file and fetches the next ones
        ids = pa.array(np.arange(ROWS) + part * ROWS).cast(pa.string())
        write_deltalake(lake.path("silver.events"), pa.table({"item_id": ids}), mode="append")
    assert sum(map(len, lake.batches("silver.events", ["item_id"]))) == FILES * ROWS
    script = "import sys\nfrom jobs.lake import Lake\nfor _ in Lake(sys.argv[1]).batches('silver.events', ['item_id']):"
    for _ in range(3):
        process = subprocess.run([sys.executable, "-c", f"{script} sys.exit(2)", lake.root], cwd=REPOSITORY, timeout=60)
        assert process.returncode == 2
