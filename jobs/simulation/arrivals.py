"""Deliver simulated days as an unreliable source does: disordered, late, twice, in parts, overwritten, then deleted.

Every day is split into files. In the ordered delivery each file is there, complete, when its day is run, and stays. In
the disordered delivery the same lines come in other ways, and files are deleted after some days. What ingest makes of
both must be equal.
"""

import gzip
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

PARTS = 3  # event files of a day in its folder; a further one lies outside day folders
LATEST = "events-latest.jsonl.gz"  # overwritten every day
DAY = timedelta(days=1)
TIME = re.compile(rb'"ts": "([0-9-]{10})')


@dataclass
class Delivery:
    """Which files arrive on each day, and how many lines came in which way.

    files  day on which they arrive: path inside the landing folder and lines
    """

    files: dict[date, list[tuple[str, list[bytes]]]]
    lines: Counter[str] = field(default_factory=Counter)

    def add(self, day: date, name: str, lines: list[bytes], way: str) -> None:
        self.files[day].append((name, lines))
        self.lines[way] += len(lines)

    def deliver(self, folder: Path, kept_days: int | None = None) -> Iterator[date]:
        """Write the files of each day into `folder`, and yield the day once they are there.

        kept_days  delete the files that arrived so many days before; None: keep all
        """
        for day, files in self.files.items():
            for name, lines in files:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(gzip.compress(b"".join(lines), compresslevel=1, mtime=0))
            old_files = self.files.get(day - kept_days * DAY, []) if kept_days else []
            for name in {name for name, _ in old_files} - {name for name, _ in files} - {LATEST}:
                (folder / name).unlink(missing_ok=True)
                parent = (folder / name).parent
                if parent.is_dir() and not any(parent.iterdir()):  # a file may be gone already, with its folder
                    parent.rmdir()
            yield day


def plan_deliveries(landing: Path, days: list[date], seed: int) -> tuple[Delivery, Delivery]:
    """Split simulated days into files. returns  the ordered delivery and the disordered one"""
    ordered, disordered = (Delivery({day: [] for day in days}) for _ in range(2))
    chance = random.Random(seed)
    held_back: list[bytes] = []  # lines for the file outside day folders that come a day later
    for day in days:
        lines = gzip.decompress((landing / str(day) / "events.jsonl.gz").read_bytes()).splitlines(keepends=True)
        for part in range(PARTS):
            _deliver(ordered, disordered, chance, day, f"{day}/events-{part}.jsonl.gz", lines[part :: PARTS + 1])
        loose = lines[PARTS :: PARTS + 1]
        ordered.add(day, f"events-of-{day}.jsonl.gz", loose, "ordered")
        cut = len(loose) if day == days[-1] else chance.randrange(len(loose))
        disordered.add(day, LATEST, held_back + loose[:cut], "overwritten")
        disordered.lines["late"] += len(held_back)
        held_back = loose[cut:]
        items = gzip.decompress((landing / str(day) / "items.jsonl.gz").read_bytes()).splitlines(keepends=True)
        _deliver(ordered, disordered, chance, day, f"{day}/items.jsonl.gz", items)
    return ordered, disordered


def _deliver(
    ordered: Delivery, disordered: Delivery, chance: random.Random, day: date, name: str, lines: list[bytes]
) -> None:
    ordered.add(day, name, lines, "ordered")
    later = min(day + chance.randint(1, 6) * DAY, max(disordered.files))
    match chance.choice(["in time", "late", "twice", "in parts"]) if later > day else "in time":
        case "twice" if "events" in name:  # in the folder of a later day, whose run must not take them as new
            disordered.add(day, name, lines, "in time")
            # A line of a wrong clock is in the future in its own folder, but not in a later one.
            copied = [line for line in lines if not (time := TIME.search(line)) or time[1].decode() <= str(day)]
            disordered.add(later, f"{later}/events-again-{Path(name).parent}.{Path(name).name}", copied, "twice")
        case "in parts":
            half = chance.randrange(len(lines) + 1)
            disordered.add(day, name, lines[:half], "in time")
            disordered.add(later, name, lines, "in parts")
        case "late" | "twice":
            disordered.add(later, name, lines, "late")
        case _:
            disordered.add(day, name, lines, "in time")
