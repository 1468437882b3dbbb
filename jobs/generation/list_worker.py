"""Make lists in several worker processes. Each makes some of the shards, on its own GPU if there is one.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.generation.list_worker <folder>

`generate` writes the folder and starts the workers.
"""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather

from jobs.generation.shards import Shards
from jobs.generation.train_worker import list_arrays, read_histories
from jobs.runtime.progress import progress
from jobs.runtime.workers import join_workers, run_workers
from models.distributed import worker_count, worker_index
from models.generator import finders

MODULE = "jobs.generation.list_worker"


def run(workers: int, shards: Shards, savers: Mapping[str, Callable[[Path], None]]) -> None:
    """Make and store all shards that are missing, in worker processes.

    savers  by source: write into a folder what `load_finder` reads
    """
    with TemporaryDirectory(prefix="sidereal-lists-") as temporary:
        folder = Path(temporary)
        save_shards(shards, folder)
        for source, save in savers.items():
            (folder / source).mkdir()
            save(folder / source)
        missing = [(places.start, places.stop) for places in shards.missing_places()]
        (folder / "work.json").write_text(json.dumps({"sources": list(savers), "missing": missing}))
        run_workers(MODULE, folder, workers)


def save_shards(shards: Shards, folder: Path) -> None:
    arrays = list_arrays(shards.histories, shards.ends) | {"active": shards.active}
    arrays |= {"popular": shards.popular[0], "counts": shards.popular[1]}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    for name, ids in (("users", shards.users), ("item_ids", shards.items)):
        feather.write_feather(pa.table({"id": ids}), str(folder / f"{name}.feather"))
    values = {"root": shards.root, "folder": shards.folder, "day": str(shards.day), "k": shards.k}
    (folder / "shards.json").write_text(json.dumps(values | {"versions": dict(shards.versions)}))


def load_shards(folder: Path) -> Shards:
    """What `save_shards` wrote. Events stay in their files."""
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
    users, items = (
        feather.read_table(folder / f"{name}.feather")["id"].combine_chunks() for name in ("users", "item_ids")
    )
    values = json.loads((folder / "shards.json").read_text())
    return Shards(
        **values | {"day": date.fromisoformat(values["day"])},
        users=users,
        items=items,
        histories=read_histories(arrays),
        ends=arrays["ends"],
        active=arrays["active"],
        popular=(arrays["popular"], arrays["counts"]),
    )


def load_finder(folder: Path) -> finders.FindItems:
    """What finds items, from the folder of a source."""
    if (folder / finders.CODES).exists():
        from jobs.generation import language_model_lists  # slow to import

        return language_model_lists.load_finder(folder)
    return finders.load_finder(folder)


def make_shards(folder: Path) -> None:
    """The part of one worker."""
    shards = load_shards(folder)
    work = json.loads((folder / "work.json").read_text())
    find_items = {name: load_finder(folder / name) for name in work["sources"]}
    assigned = [range(*places) for places in work["missing"]][worker_index() :: worker_count()]
    report_progress = progress("generating shards of users") if worker_index() == 0 else None
    for done, places in enumerate(assigned, start=1):
        for _ in shards.make(places, find_items):  # it is stored: the rows are read later
            pass
        if report_progress:
            report_progress(done, len(assigned))


if __name__ == "__main__":
    with join_workers(MODULE):
        make_shards(Path(sys.argv[1]))
