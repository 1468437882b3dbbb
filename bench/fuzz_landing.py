"""Does `ingest` account for every line of damaged and odd log files, and never crash?

    make bench B=fuzz_landing ARGS="--json fuzz.json"
    make bench B=fuzz_landing ARGS="--files 200 --seed 1 --keep /tmp/fuzz"

Writes small files of all formats. Most have one thing wrong with them, some have two. A run of the job `ingest` lands
25 of them and a good file in a lake of their own. If the run refuses files, these are taken away and the rest is landed
again, as a user would do. A file is accounted for if its lines, counted without the code of `jobs`, are in the bronze
tables as good or rejected lines, or if the run refused it by its name. At last it lands files that are small and become
very large in memory.

Columns:

    landed        every line is good
    with rejects  every line is good or rejected
    refused       the run stopped and named the file
    crash         the run ended in a stack trace, or its process was killed: must be 0
    not accounted for  lines are missing, or values are wrong that the bench can check: must be 0

Exits with 1 if a number is not 0 that must be.
"""

import json
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from common import build_parser, describe_machine
from fuzz_bomb import land_bomb
from fuzz_files import FuzzFile, write_file
from fuzz_land import OUTCOMES, Fate, count_rows, land_files
from rich.console import Console
from rich.table import Table

from jobs.lake import UserError

BATCH = 25


def run_batches(numbers: list[int], seed: int, local_mib: int, keep: Path | None) -> Iterator[tuple[FuzzFile, Fate]]:
    """Land the files of the numbers, `BATCH` at a time, in a process of their own."""
    batches = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
    pool = _build_pool()
    while batches:
        batch = batches.pop(0)
        try:
            fates = pool.submit(write_and_land, batch, seed, local_mib, keep).result()
        except BrokenProcessPool:
            fates, pool = None, _build_pool()
        if fates is not None:
            yield from fates
        elif len(batch) > 1:  # find the file
            middle = len(batch) // 2
            batches[:0] = [batch[:middle], batch[middle:]]
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield write_file(Path(folder), batch[0], seed), Fate("crash", "the process was killed")
    pool.shutdown()


def _build_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def write_and_land(
    numbers: list[int], seed: int, local_mib: int, keep: Path | None
) -> list[tuple[FuzzFile, Fate]] | None:
    """Write files and land them. None if a run crashed and it is not clear at which of several files."""
    with tempfile.TemporaryDirectory(prefix="sidereal-fuzz-") as name:
        folder = Path(name)
        files = [write_file(folder / "landing", number, seed) for number in numbers]
        contents = {file.name: (folder / "landing" / file.name).read_bytes() for file in files}
        expected = {file.name: count_rows(folder / "landing" / file.name) for file in files}
        try:
            fates = land_files(folder, files, local_mib, expected)
        except UserError as error:
            if len(files) > 1:
                return None
            fates = {files[0].name: Fate("not accounted for", f"refused without the name of the file: {error}")}
        except Exception as error:  # what no user should see, whatever it is
            if len(files) > 1:
                return None
            traceback.print_exc()
            fates = {files[0].name: Fate("crash", f"{type(error).__name__}: {error}"[:500])}
        for file in files:
            if keep and fates[file.name].outcome in OUTCOMES[-2:]:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / Path(file.name).name).write_bytes(contents[file.name])
        return [(file, fates[file.name]) for file in files]


def build_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("change", title="What became of the files")
    for outcome in ("files", *OUTCOMES):
        table.add_column(outcome, justify="right")
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for name in (row["change"] if " + " not in row["change"] else "two changes", "all"):
            counts.setdefault(name, Counter())[row["outcome"]] += 1
    for name in sorted(counts, key=lambda name: (name == "all", name)):
        numbers = [counts[name].total(), *(counts[name][outcome] for outcome in OUTCOMES)]
        table.add_row(name, *(f"{number:,}" if number else "" for number in numbers))
    return table


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file, to repeat a part of a run")
    parser.add_argument("--spark", action="store_true", help="read the files on Spark's executors (SPARK_REMOTE)")
    parser.add_argument("--keep", type=Path, help="folder for copies of the files that were not accounted for")
    parser.add_argument("--no-bomb", action="store_true", help="leave out the gzip file of 2 GB of zeros")
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "demo")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(describe_machine("pyarrow", "duckdb", "deltalake"), highlight=False, soft_wrap=True)
    started, rows = perf_counter(), []
    numbers = list(range(flags.first, flags.first + flags.files))
    for file, fate in run_batches(numbers, flags.seed, 0 if flags.spark else 16, flags.keep):
        row = {"file": file.name, "kind": file.kind, "format": file.format, "change": " + ".join(file.changes)}
        rows.append(row | {"outcome": fate.outcome, "message": fate.message})
        if fate.outcome in OUTCOMES[-2:]:
            console.print(f"{file.name} ({row['change']}): {fate.outcome}: {fate.message}", markup=False)
    for bomb in [] if flags.no_bomb else land_bomb():
        rows.append(bomb)
        console.print(f"{bomb['change']}: {bomb['outcome']}, {bomb['mib']:,} MiB more memory", markup=False)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1) + "\n")
    console.print(build_table(rows))
    console.print(f"{perf_counter() - started:,.0f} seconds")
    sys.exit(any(row["outcome"] in OUTCOMES[-2:] for row in rows))


if __name__ == "__main__":
    main()
