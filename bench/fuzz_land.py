"""Lands files and finds out what became of each, for the bench `fuzz_landing`."""

import json
import math
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from fuzz_count import UnreadableError, count_csv_rows, count_json_lines, count_parquet_rows
from fuzz_files import DAY, FuzzFile

from jobs import ingest
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings, load_settings

OUTCOMES = ("landed", "with rejects", "refused", "crash", "not accounted for")
GOOD_FILE = f"{DAY}/events-good.jsonl"  # beside the damaged files: its lines must always land
GOOD_LINES = 10
IDS = ("event_id", "user_id", "item_id", "request_id", "order_id")
MOST_RUNS = 30
Expected = Counter[int] | set[int] | str


class Fate(NamedTuple):
    outcome: str  # one of OUTCOMES
    message: str = ""


def land_files(folder: Path, files: list[FuzzFile], local_mib: int, expected: dict[str, Expected]) -> dict[str, Fate]:
    """Land the files of folder/landing, without those that a run refuses.

    expected  what each file must become, see `count_rows`

    raises  whatever ingest raises, apart from refusals that name a file
    """
    landing = folder / "landing"
    (landing / GOOD_FILE).parent.mkdir(parents=True, exist_ok=True)
    event = {"user_id": "u", "item_id": "i", "event": "click", "ts": f"{DAY}T09:00:00Z"}
    lines = [json.dumps(event | {"event_id": f"good{n}"}) + "\n" for n in range(GOOD_LINES)]
    (landing / GOOD_FILE).write_text("".join(lines))
    fates: dict[str, Fate] = {}
    for run in range(MOST_RUNS):
        lake = Lake(folder / "lake", run_id=f"run{run}")
        lake.create()
        try:
            with redirect_stderr(StringIO()):
                ingest.run(lake, build_settings(local_mib), DAY, data=landing)
        except UserError as error:
            refused = _find_refused(lake, files, fates, str(error))
            if not refused:
                raise
            for name, message in refused.items():
                fates[name] = Fate("refused", message)
                (landing / name).unlink()
            continue
        return fates | _check(lake, files, fates, expected)
    raise RuntimeError(f"the folder is still refused after {MOST_RUNS} runs")


def build_settings(local_mib: int) -> Settings:
    """A run may reject all lines: the bench counts them. The setting that stops such a run would hide what is lost."""
    settings = load_settings()
    landing = settings.landing.model_copy(update={"local_mib": local_mib})
    logs = settings.logs.model_copy(update={"max_reject_share": 1.0})
    return settings.model_copy(update={"landing": landing, "logs": logs})


def count_rows(path: Path) -> Expected:
    """How many rows a file must become: by line, or all numbers that are right. A text: why it must be refused."""
    name = path.name.lower()
    try:
        if ".parquet" in name:
            return count_parquet_rows(path)
        return {count_csv_rows(path)} if ".csv" in name or ".tsv" in name else count_json_lines(path)
    except UnreadableError as error:
        return f"cannot be read: {error}"


def _find_refused(lake: Lake, files: list[FuzzFile], fates: dict[str, Fate], message: str) -> dict[str, str]:
    """The files that a run refused, with its message; bronze.rejects lists all if there are several."""
    rejects = lake.arrow("bronze.rejects").to_pylist()
    refused = {
        row["file"]: row["reason"]
        for row in rejects
        if row["run_id"] == lake.run_id and row["reason"].startswith("the file is refused")
    }
    refused |= {file.name: message for file in files if file.name in message}
    return {file.name: refused[file.name] for file in files if file.name in refused and file.name not in fates}


def _check(lake: Lake, files: list[FuzzFile], fates: dict[str, Fate], expected: dict[str, Expected]) -> dict[str, Fate]:
    """What became of the files that a run did not refuse."""
    rows = {kind: lake.arrow(f"bronze.raw_{kind}").to_pylist() for kind in ("events", "items")}
    by_file: dict[str, list[dict[str, Any]]] = {}
    for row in rows["events"] + rows["items"]:
        by_file.setdefault(row["file"], []).append(row)
    if len(by_file[GOOD_FILE]) != GOOD_LINES or any(row["reason"] for row in by_file[GOOD_FILE]):
        raise RuntimeError("the good file did not land")
    _check_silver(lake, rows)
    return {
        file.name: _judge(by_file.get(file.name, []), expected[file.name]) for file in files if file.name not in fates
    }


def _judge(rows: list[dict[str, Any]], expected: Expected) -> Fate:
    counts = Counter(row["line"] for row in rows)
    if isinstance(expected, str):
        return Fate("not accounted for", f"{len(rows)} rows landed, but the file {expected}")
    if isinstance(expected, Counter) and counts != expected:
        missing, more = expected - counts, counts - expected
        return Fate("not accounted for", f"missing lines {dict(missing)}, more lines {dict(more)}"[:500])
    if isinstance(expected, set) and (len(rows) not in expected or max(counts.values(), default=0) > 1):
        return Fate("not accounted for", f"{len(rows)} rows, expected {expected}")
    for row in rows:
        if row["reason"] is None and (problem := _find_wrong_value(row)):
            return Fate("not accounted for", f"line {row['line']}: {problem}: {row['raw'][:300]}")
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    return Fate("with rejects", str(dict(reasons))[:500]) if reasons else Fate("landed")


def _find_wrong_value(row: dict[str, Any]) -> str:
    """What is wrong with a good line, apart from what the text of its file says."""
    texts = {name: value for name, value in row.items() if isinstance(value, str) and name not in ("raw", "file")}
    for name, text in texts.items():
        if "\ufffd" in text and "\ufffd" not in row["raw"] and "\\ufffd" not in row["raw"]:
            return f"{name} has lost characters"
        if name in IDS and (text != text.strip() or not text):
            return f"{name} has blanks around it"
    if "\ufffd" in row["raw"]:
        return "the line has lost characters"
    if any(row.get(name) is not None and not math.isfinite(row[name]) for name in ("price", "value")):
        return "a number is not finite"
    return ""


def _check_silver(lake: Lake, rows: dict[str, list[dict[str, Any]]]) -> None:
    """raises RuntimeError unless silver.events and silver.items hold exactly the good lines"""
    keys = {
        (row["event_day"], row["event_id"], row["event"], row["item_id"])
        for row in rows["events"]
        if row["reason"] is None and row["day"] <= DAY
    }
    items = {row["item_id"] for row in rows["items"] if row["reason"] is None and row["day"] <= DAY}
    silver = {name: lake.arrow(f"silver.{name}").num_rows for name in ("events", "items")}
    if silver != {"events": len(keys), "items": len(items)}:
        raise RuntimeError(f"silver has {silver} rows, expected {len(keys)} events and {len(items)} items")
