"""The landing folder: which log files it holds, which day each is of, and which files are not read.

A log file is named `events*` or `items*` and ends in .jsonl, .json, .csv (each also compressed) or .parquet. It lies in
a day folder (each line is due on that day) or outside (each line is due on its own date). A day folder is called
2026-11-20, day=2026-11-20, dt=..., 20261120 or 2026/11/20, and may have a folder for each hour.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

from jobs.lake import UserError
from jobs.landing.dialect import Dialect
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME

KINDS = ("events", "items")
COMPRESSED = r"(?:\.(?:gz|bz2|zst))?"
FORMATS = {"jsonl": "jsonl", "json": "jsonl", "ndjson": "jsonl", "csv": "csv", "tsv": "csv", "parquet": "parquet"}
ENDING = re.compile(rf"\.({'|'.join(FORMATS)}){COMPRESSED}$", re.IGNORECASE)
# Files that may hold log lines. One that is not read stops the run, so that nobody believes it was landed.
DATA = re.compile(
    rf"\.(?:{'|'.join(FORMATS)}|txt|log|dat|avro|orc|xml|xlsx?|gz|bz2|zst|zip|7z|tar|lz4|lzo|snappy)$", re.IGNORECASE
)
LITTER = re.compile(r"[._].*|.*\.(?:crc|md5|sha\d*|md|tmp|part|inprogress)|README.*|LICENSE.*", re.IGNORECASE)
NESTED_DAY = re.compile(r"(?:year=)?(\d{4})/(?:month=)?(\d{2})/(?:day=)?(\d{2})")
DAY_PREFIXES = ("", "day=", "dt=", "date=", "ds=")
DAY = re.compile(rf"(?:{'|'.join(DAY_PREFIXES)})(\d{{4}})-?(\d{{2}})-?(\d{{2}})")
HOUR = re.compile(r"(?:(?:hour|hh|h)=)?\d{2}")


@dataclass(frozen=True)
class LandingFile:
    kind: str  # events or items
    format: str  # jsonl, csv or parquet
    path: str  # absolute
    name: str  # relative to the landing folder
    day: date | None  # the day of its day folder; None if it lies outside

    @cached_property
    def size(self) -> int:
        return os.stat(self.path).st_size

    @cached_property
    def modified(self) -> datetime:
        return datetime.fromtimestamp(os.stat(self.path).st_mtime, UTC)

    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Listing:
    files: list[LandingFile]  # sorted by path
    ignored: dict[str, str]  # path inside the landing folder: why it is not read
    unread: list[str]  # paths of files that look like data but would not be read


def list_landing_files(folder: Path, landing: Landing | None = None) -> Listing:
    """List the files of a landing folder.

    raises  UserError if `scan_landing_folder` does, if the folder holds no log file, or if a file looks like data but
            would not be read
    """
    listing = scan_landing_folder(folder, landing or Landing())
    unread = listing.unread
    if unread:
        more = f" and {len(unread) - 1:,} more files look" if len(unread) > 1 else " looks"
        raise UserError(
            f"{unread[0]}{more} like data but would not be read: expected events* or items* that end in .jsonl, .csv"
            " (each also .gz) or .parquet, in day folders such as 2026-11-20/ or outside. Rename, or name the files in"
            f" {folder / FILE_NAME}: [events] files = [...], [items] files = [...] or ignore = [...]."
            " `make check-landing` proposes what to write"
        )
    if not listing.files:
        raise UserError(
            f"{folder} holds no log file, nor do its day folders (such as 2026-11-20/): expected files named events* or"
            " items* that end in .jsonl, .csv (each also .gz) or .parquet; check --data (or DATA=)"
        )
    return listing


def scan_landing_folder(folder: Path, landing: Landing) -> Listing:
    """List the files of a landing folder, also those that would not be read.

    raises  UserError if the folder is missing, if a day folder has an impossible date, if a link leads nowhere or out
            of the folder, if a folder or log file cannot be read, or if a name is not UTF-8
    """
    if not folder.is_dir():
        raise UserError(f"landing folder {folder} does not exist; give --data (or DATA=) a folder with events.jsonl.gz")
    files, ignored, unread = [], {}, []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if name != name.encode("utf-8", "replace").decode():
            raise UserError(f"{str(os.fsencode(path))[1:]} has a name that is not UTF-8; rename it")
        if any(compile_pattern(pattern).fullmatch(name) for pattern in landing.ignore):
            ignored[name] = "listed in [landing] ignore"
        elif file := _recognise(folder, path, name, landing):
            if not os.access(path, os.R_OK):
                raise UserError(f"{path} cannot be read (Permission denied); allow this user to read it")
            files.append(file)
        elif name == FILE_NAME or LITTER.fullmatch(path.name) or not DATA.search(path.name):
            ignored[name] = "not a data file"
        else:
            unread.append(name)
    return Listing(files, ignored, unread)


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below the folder, sorted. raises UserError for a link that leads nowhere, or out of the folder"""
    root = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=_stop_at_unreadable):
        # Spark writes unfinished files into _temporary. A lake may lie in the landing folder: its tables are no logs.
        is_skipped = [name[0] in "._" or name == "lost+found" or _is_lake(Path(parent, name)) for name in folders]
        folders[:] = sorted(name for name, skip in zip(folders, is_skipped, strict=True) if not skip)
        for name in sorted([*names, *(name for name in folders if Path(parent, name).is_symlink())]):
            path = Path(parent, name)
            if path.is_symlink():
                target = Path(os.path.realpath(path))  # unlike `resolve`, it accepts links in a circle
                if not target.exists():
                    raise UserError(
                        f"{path} is a link to a file that does not exist; land the file, or remove the link"
                    )
                if not target.is_relative_to(root) or target.is_dir():
                    raise UserError(
                        f"{path} is a link to {'a folder' if target.is_dir() else 'a file outside the landing folder'},"
                        " which is not followed; land the files themselves, or remove the link"
                    )
            if path.is_file():
                yield path


def _stop_at_unreadable(error: OSError) -> None:
    if isinstance(error, PermissionError):  # a folder may also vanish
        raise UserError(f"{error.filename} cannot be read ({error.strerror}); allow this user to read it")


def _is_lake(folder: Path) -> bool:
    return (folder / "ops" / "runs" / "_delta_log").is_dir()


def _recognise(folder: Path, path: Path, name: str, landing: Landing) -> LandingFile | None:
    """The log file at a path, or None if it is no log file. If patterns of both kinds match, the longer one counts."""
    candidates: list[tuple[int, LandingFile]] = []
    for kind in KINDS:
        dialect: Dialect = getattr(landing, kind)
        ending = ENDING.search(path.name)
        file_format = dialect.format or (FORMATS[ending[1].lower()] if ending else "")
        for pattern in dialect.files:
            if file_format and (match := compile_pattern(pattern).fullmatch(name)):
                text = match.groupdict().get("day")
                day = _parse_day(text, path) if text else None
                candidates.append((len(pattern), LandingFile(kind, file_format, str(path.resolve()), name, day)))
        if dialect.files or not ending or LITTER.fullmatch(path.name):
            continue
        day, rest = _split_day(path.relative_to(folder).parts, path)
        if rest[0].lower().startswith(kind):
            candidates.append((len(f"{kind}*"), LandingFile(kind, file_format, str(path.resolve()), name, day)))
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A file pattern as a regular expression. Unlike **, * and ? stay within a folder."""
    parts = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{day}": r"(?P<day>\d{4}-?\d{2}-?\d{2})", "{hour}": r"\d{2}"}
    return re.compile(
        "".join(parts.get(text) or re.escape(text) for text in re.split(r"(\*\*|[*?]|\{day\}|\{hour\})", pattern))
    )


def list_day_folders(day: date) -> list[str]:
    """The names that the folder of a day may have."""
    names = [f"{prefix}{text}" for prefix in DAY_PREFIXES for text in (f"{day}", f"{day:%Y%m%d}")]
    return [*names, f"{day:%Y/%m/%d}", f"{day:year=%Y/month=%m/day=%d}"]


def _split_day(parts: tuple[str, ...], path: Path) -> tuple[date | None, tuple[str, ...]]:
    """Take the day and hour folders out of the parts of a path: the day, and the parts that remain."""
    folders = list(parts[:-1])
    day = None
    for start in range(len(folders)):
        if nested := NESTED_DAY.fullmatch("/".join(folders[start : start + 3])):
            day, taken = _parse_day("".join(nested.groups()), path), 3
        elif single := DAY.fullmatch(folders[start]):
            day, taken = _parse_day("".join(single.groups()), path), 1
        else:
            continue
        taken += start + taken < len(folders) and bool(HOUR.fullmatch(folders[start + taken]))
        del folders[start : start + taken]
        break
    return day, (*folders, parts[-1])


def _parse_day(text: str, path: Path) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{path.parent} is named like a day, but there is no such day; rename the folder") from None
