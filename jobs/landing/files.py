"""The landing folder: which log files it holds, and whether they can be read.

A log file is named `events*` or `items*` and ends in .jsonl, .json, .csv (each also .gz) or .parquet. It lies in a day
folder, `2026-11-20/` or `day=2026-11-20/` (all its lines are due on that day), or in the landing folder itself (each
line is due on its own date).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lake import UserError

KINDS = ("events", "items")
FIELDS = {
    "events": (
        "event_id", "user_id", "item_id", "event", "ts", "value", "price", "request_id", "position", "order_id", "seq",
    ),
    "items": ("item_id", "title", "description", "category", "attributes", "image", "price", "updated_at"),
}  # fmt: skip
FILE_NAME = re.compile(r"(events|items)[^/]*?\.(jsonl|json|csv|parquet)(\.gz)?$")
DAY_FOLDER = re.compile(r"(?:day=)?(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class LandingFile:
    kind: str  # events or items
    format: str  # jsonl, csv or parquet
    path: str  # absolute
    name: str  # relative to the landing folder
    day: date | None  # the day of its day folder; None if it lies in the landing folder itself


def list_landing_files(folder: Path) -> list[LandingFile]:
    """List the log files of a landing folder, sorted by path.

    raises  UserError if the folder is missing or holds no log file, if a day folder has an impossible date, or if a
            log file is a link to nothing
    """
    if not folder.is_dir():
        raise UserError(f"landing folder {folder} does not exist; give --data (or DATA=) a folder with events.jsonl.gz")
    files = []
    for path in sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if p.is_file() or p.is_symlink()):
        in_day_folder = path.parent != folder
        name = FILE_NAME.fullmatch(path.name)
        day_folder = DAY_FOLDER.fullmatch(path.parent.name) if in_day_folder else None
        if name is None or (in_day_folder and day_folder is None):
            continue
        try:
            day = date.fromisoformat(day_folder[1]) if day_folder else None
        except ValueError:
            raise UserError(f"{path.parent} is named like a day, but there is no such day; rename the folder") from None
        if not path.is_file():
            raise UserError(f"{path} is a link to a file that does not exist; land the file, or remove the link")
        file_format = "jsonl" if name[2] == "json" else name[2]
        files.append(LandingFile(name[1], file_format, str(path.resolve()), str(path.relative_to(folder)), day))
    if not files:
        raise UserError(
            f"{folder} holds no log file, nor do its day folders (such as 2026-11-20/): expected files named events* or"
            " items* that end in .jsonl, .csv (each also .gz) or .parquet; check --data (or DATA=)"
        )
    return files


@contextmanager
def name_unreadable_file(files: list[LandingFile]) -> Iterator[None]:
    """If Spark fails inside this block because a file cannot be read, name that file.

    Spark's own error says where in its code it failed, but not always in which file.

    raises  UserError naming the first file that cannot be read to its end; if all can be read, the original error
    """
    try:
        yield
    except Exception:  # any error: it is raised again unless a file explains it
        _check_readable(files)
        raise


def _check_readable(files: list[LandingFile]) -> None:
    for file in files:
        try:
            if file.format == "parquet":
                for _ in pq.ParquetFile(file.path).iter_batches():
                    pass
            else:
                with pa.input_stream(file.path, compression="detect") as stream:
                    while stream.read(1 << 23):
                        pass
        except (OSError, pa.ArrowInvalid) as error:
            message = str(error).splitlines()[0]
            raise UserError(f"{file.name} cannot be read to its end ({message}); land it again") from None
