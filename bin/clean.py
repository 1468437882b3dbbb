"""Remove the tables of one lake, what its runs keep besides, and the caches of tools: `make clean`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from place import REPOSITORY, Place

LAKE = ("bronze", "silver", "gold", "ops", "models", "reports", "data_docs", "gx", "locks", "spark-warehouse")
CACHES = ("spark-warehouse", "metastore_db", "derby.log", ".pytest_cache", ".ruff_cache", ".mypy_cache", "bench/out")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    place = Place(os.environ.get("LAKE") or "lake")
    if "://" in place.lake:
        sys.exit(f"make clean: {place.lake} is not a local folder; remove it with the tools of its store")
    place.hold("make clean")
    lake = Path(place.lake)
    for path in [*(lake / name for name in (*LAKE, "mlflow.db")), *(REPOSITORY / name for name in CACHES), place.state]:
        remove(path)
    if lake.is_dir() and not any(lake.iterdir()):  # whatever else lies in it is not ours to remove
        lake.rmdir()
    print(f"removed the tables in {lake} and what their runs kept in {place.state}")


if __name__ == "__main__":
    main()
