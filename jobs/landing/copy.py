"""Copy a landing folder into an object store.

    python -m jobs.landing.copy --data landing --out s3://landing/logs

Files that are there with the same size, and not older, are not copied again. This command reads no table, so it needs
no lake.
"""

import argparse
import json
import sys
from pathlib import Path

import pyarrow.fs as pafs

from jobs.lake import UserError
from jobs.lake.store import list_files, open_store
from jobs.landing.folder import LandingFolder, parse_folder, walk
from jobs.landing.ready import SUCCESS
from jobs.landing.toml import FILE_NAME
from jobs.runtime.entry import error_sentence
from jobs.runtime.printable import printable


def copy_folder(folder: LandingFolder, out: LandingFolder) -> int:
    """Copy the files that are new or have changed. returns how many

    raises  UserError if the folder does not exist, or holds a link that leads nowhere or out of it
    """
    if not folder.is_dir():
        raise UserError(f"landing folder {folder} does not exist; check --data")
    (source, _), (target, root) = open_store(str(folder)), open_store(str(out))
    stored = {str(file.path): file for file in list_files(target, root)}
    entries = sorted(walk(folder), key=lambda entry: (_rank(entry.name), entry.modified))
    copied = 0
    for entry in entries:
        path = f"{root}/{entry.name}"
        old = stored.get(path)
        if old is None or old.size != entry.size or old.mtime < entry.changed:
            if isinstance(out, Path):
                target.create_dir(path.rpartition("/")[0], recursive=True)
            pafs.copy_files(open_store(entry.path)[1], path, source_filesystem=source, destination_filesystem=target)
            copied += 1
    return copied


def _rank(name: str) -> int:
    """When to copy a file: landing.toml first, because it says how to read the others; _SUCCESS last."""
    return {FILE_NAME: 0, SUCCESS: 2}.get(name.rpartition("/")[2], 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.landing.copy", description=__doc__)
    parser.add_argument("--data", type=parse_folder, required=True, help="landing folder")
    parser.add_argument("--out", type=parse_folder, required=True, help="where to copy it")
    options = parser.parse_args()
    try:
        copied = copy_folder(options.data, options.out)
    except (UserError, OSError) as error:
        sys.exit(printable(f"copy failed: {error_sentence(error)}"))
    print(json.dumps({"files": copied}))


if __name__ == "__main__":
    main()
