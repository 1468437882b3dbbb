"""The landing folder: which log files it holds, which day each is of, and which files are not read.

A log file is named `events*` or `items*` and ends in .jsonl, .json, .csv (each also compressed) or .parquet. It lies in
a day folder (each line is due on that day) or outside (each line is due on its own date). A day folder is called
2026-11-20, day=2026-11-20, dt=..., 20261120 or 2026/11/20, and may have a folder for each hour.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jobs.lake import UserError
from jobs.lake.file_system import open_file_system
from jobs.landing.dialect import Dialect
from jobs.landing.folder import Entry, LandingFolder, walk
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
HASHED_AT_ONCE = 8 << 20  # bytes
HOUR = re.compile(r"(?:(?:hour|hh|h)=)?\d{2}")


@dataclass(frozen=True)
class LandingFile(Entry):
    kind: str  # events or items
    format: str  # jsonl, csv or parquet
    day: date | None  # the day of its day folder; None if it lies outside

    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        store, path = open_file_system(self.path)
        digest = hashlib.sha256()
        with store.open_input_stream(path, compression=None) as file:
            while block := file.read(HASHED_AT_ONCE):
                digest.update(block)
        return digest.hexdigest()


@dataclass(frozen=True)
class Listing:
    files: list[LandingFile]  # sorted by path
    ignored: dict[Entry, str]  # why each of these files is not read
    unread: list[str]  # paths of files that look like data but would not be read


def list_landing_files(folder: LandingFolder, landing: Landing | None = None) -> Listing:
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


def scan_landing_folder(folder: LandingFolder, landing: Landing) -> Listing:
    """List the files of a landing folder, also those that would not be read.

    raises  UserError if the folder is missing, if a day folder has an impossible date, if a link leads nowhere or out
            of the folder, if a folder or log file cannot be read, or if a name is not UTF-8
    """
    if isinstance(folder, Path) and not folder.is_dir():
        raise UserError(f"landing folder {folder} does not exist; give --data (or DATA=) a folder with events.jsonl.gz")
    files, ignored, unread = [], {}, []
    for entry in walk(folder):
        base = entry.name.rpartition("/")[2]
        if any(compile_pattern(pattern).fullmatch(entry.name) for pattern in landing.ignore):
            ignored[entry] = "listed in [landing] ignore"
        elif file := _recognise(folder, entry, landing):
            if isinstance(folder, Path) and not os.access(entry.path, os.R_OK):
                raise UserError(f"{folder / entry.name} cannot be read (Permission denied); allow this user to read it")
            files.append(file)
        elif entry.name == FILE_NAME or LITTER.fullmatch(base) or not DATA.search(base):
            ignored[entry] = "not a data file"
        else:
            unread.append(entry.name)
    return Listing(files, ignored, unread)


def _recognise(folder: LandingFolder, entry: Entry, landing: Landing) -> LandingFile | None:
    """The log file of an entry, None if it is no log file. If patterns of both kinds match, the longer one counts."""
    candidates: list[tuple[int, LandingFile]] = []
    *parents, base = entry.name.split("/")
    parent = folder / "/".join(parents) if parents else folder
    for kind in KINDS:
        dialect: Dialect = getattr(landing, kind)
        ending = ENDING.search(base)
        file_format = dialect.format or (FORMATS[ending[1].lower()] if ending else "")
        for pattern in dialect.files:
            if file_format and (match := compile_pattern(pattern).fullmatch(entry.name)):
                text = match.groupdict().get("day")
                day = _parse_day(text, parent) if text else None
                candidates.append((len(pattern), LandingFile(**vars(entry), kind=kind, format=file_format, day=day)))
        if dialect.files or not ending or LITTER.fullmatch(base):
            continue
        day, rest = _split_day((*parents, base), parent)
        if rest[0].lower().startswith(kind):
            candidates.append((len(f"{kind}*"), LandingFile(**vars(entry), kind=kind, format=file_format, day=day)))
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


def _split_day(parts: tuple[str, ...], parent: LandingFolder) -> tuple[date | None, tuple[str, ...]]:
    """Take the day and hour folders out of the parts of a path: the day, and the parts that remain.

    parent  the folder of the file, for messages
    """
    folders = list(parts[:-1])
    day = None
    for start in range(len(folders)):
        if nested := NESTED_DAY.fullmatch("/".join(folders[start : start + 3])):
            day, taken = _parse_day("".join(nested.groups()), parent), 3
        elif single := DAY.fullmatch(folders[start]):
            day, taken = _parse_day("".join(single.groups()), parent), 1
        else:
            continue
        taken += start + taken < len(folders) and bool(HOUR.fullmatch(folders[start + taken]))
        del folders[start : start + taken]
        break
    return day, (*folders, parts[-1])


def _parse_day(text: str, parent: LandingFolder) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{parent} is named like a day, but there is no such day; rename the folder") from None
