"""Remove the tables of one lake, the state of its runs and the caches of tools: `make clean`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lake_state import REPOSITORY, LakeState

LAKE_FOLDERS = ("bronze", "silver", "gold", "ops", "models", "reports", "data_docs", "gx", "locks", "spark-warehouse")
CACHES = ("spark-warehouse", "metastore_db", "derby.log", ".pytest_cache", ".ruff_cache", ".mypy_cache", "bench/out")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    state = LakeState(os.environ.get("LAKE") or "lake")
    if "://" in state.lake:
        sys.exit(f"make clean: {state.lake} is not a local folder; remove it with the tools of its object store")
    state.lock("make clean")
    lake = Path(state.lake)
    in_lake = [lake / name for name in (*LAKE_FOLDERS, "mlflow.db")]
    for path in [*in_lake, *(REPOSITORY / name for name in CACHES), state.folder]:
        remove(path)
    if lake.is_dir() and not any(lake.iterdir()):  # keep the folder if somebody put other files into it
        lake.rmdir()
    print(f"Removed the tables in {lake} and the state of their runs in {state.folder}.")


if __name__ == "__main__":
    main()
