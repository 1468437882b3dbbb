"""Land a day's logs, check them, and keep each clean event once.

    python -m jobs.ingest --day 2026-11-20 --data landing [--since 2026-11-01]

Reads the landing folder. Writes bronze.raw_events, bronze.raw_items and bronze.rejects (the days that the
lines were due), silver.events (the days of their events, so that a late line goes where it belongs) and
silver.items. With --since it lands the days before as history in one go.
"""

import argparse
from datetime import date
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import silver_events, silver_items
from jobs.lake import JobResult, Lake, UserError, day_range_predicate
from jobs.lake.checks import check
from jobs.lake.contracts import ROOT
from jobs.lake.metrics import metric_rows, replace_metrics, touched_days
from jobs.landing.files import LandingFile, fields_type, landing_files, naming_the_file, read_lines
from jobs.runtime.entry import main, parse_day
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings

Row = dict[str, Any]
KINDS = ("events", "items")
MANY = 100_000  # rows that are worth a Spark write
FATES = ("rows_in", "rows_out", "rows_rejected", "rows_duplicate")


def run(lake: Lake, settings: Settings, day: date, data: Path, since: date | None = None) -> JobResult:
    span = {"since": since or day, "day": day}
    if span["since"] > day:
        raise UserError(f"--since {since} is after --day {day}")
    every = landing_files(data)
    first = min((f.day for f in every if f.kind == "events" and f.day), default=None)
    files = [f for f in every if f.day is None or span["since"] <= f.day <= day]
    step = steps()
    step(f"reading {len(files)} files for {span['since']} to {day}")
    before = lake.query("SELECT DISTINCT day FROM silver.events WHERE landed_day BETWEEN :since AND :day", **span)
    days = set(before["day"].to_pylist()) | touched_days(lake, day)  # that an earlier run of these days wrote
    try:
        with naming_the_file(files):
            _land(lake, files, span, first)
        counts = {kind: _counts(lake, kind, span) for kind in KINDS}
        days |= {row["event_day"] for row in counts["events"] if row["reason"] is None}
        lines = {kind: sum(row["lines"] for row in counts[kind]) for kind in KINDS}
        step(f"landed {lines['events']:,} event and {lines['items']:,} item lines; setting bad ones aside")
        _replace_rejects(lake, span, counts)
        _refuse_mostly_bad(counts, settings)
        step(f"keeping each event of {len(days)} days once")
        if days:
            lake.replace("silver.events", lake.transform("clean_events", days=sorted(days)), day=sorted(days))
        step("merging items")
        _merge_items(lake, span, counts["items"])
        step("checking the tables")
        checks = check(lake, "silver.events", silver_events, sorted(days)) + check(lake, "silver.items", silver_items)
        step("counting what became of every line")
        fates = {
            "events": _event_fates(lake, counts["events"], span, sorted(days)),
            "items": _item_fates(lake, counts["items"], span),
        }
    except BaseException:  # bronze.rejects stays: it says what was wrong
        for table in ("silver.items", "silver.events", "bronze.raw_items", "bronze.raw_events"):
            lake.restore_version(table)
        raise
    rows = [row for kind in KINDS for row in metric_rows("rows", kind, fates[kind])]
    rows += [r for kind in KINDS for r in metric_rows("rows", kind, _reasons(counts[kind]))]
    rows += _touched(counts["events"], days)
    replace_metrics(lake, "ingest", day, rows + checks)
    total = {fate: sum(fates[kind][fate] for kind in KINDS) for fate in FATES}
    return JobResult(**total, notes={"files": len(files), "event_days": len(days)})


def _land(lake: Lake, files: list[LandingFile], span: dict[str, date], first: date | None) -> None:
    """Read each line once into bronze.

    In files outside day folders, a line without a date is due on the first event day of all: that of the first
    day folder (`first`) or of the lines themselves.
    """
    parsed = {kind: _parse(lake, kind, [f for f in files if f.kind == kind]) for kind in KINDS}
    if any(f.day is None for f in files):
        parsed = {kind: frame.persist() for kind, frame in parsed.items()}
        good = [frame.where("reason IS NULL") for frame in parsed.values()]
        least = [row[0] for row in (frame.agg(F.min("day")).first() for frame in good) if row]
        first = min((day for day in (first, least[0]) if day), default=least[1])
    for kind, frame in parsed.items():
        day = F.coalesce("day", F.lit(first or span["day"]))
        if kind == "items" and any(f.day is None for f in files):
            # What the shop had before its first event is there from then on.
            day = F.greatest(day, F.lit(first or span["day"]))
        frame = frame.withColumn("day", day).withColumn("run_id", F.lit(lake.run_id))
        due = frame.where(F.col("day").between(span["since"], span["day"]))
        lake.replace(f"bronze.raw_{kind}", due, where=day_range_predicate(**span))
        frame.unpersist()


def _parse(lake: Lake, kind: str, files: list[LandingFile]) -> DataFrame:
    # Spark Connect looks a view up when the query runs: one name for both kinds would read one of them twice.
    read_lines(lake.spark, kind, files).createOrReplaceTempView(f"{kind.removesuffix('s')}_lines")
    return lake.transform(f"parse_{kind}", fields=f"ARRAY<{fields_type(kind)}>")


def _counts(lake: Lake, kind: str, span: dict[str, date]) -> list[Row]:
    """Lines that were due, by reason of refusal (null: good) and, for events, by event day."""
    key = "event_day" if kind == "events" else "day"
    text = f"""SELECT {key}, reason, count(*) AS lines FROM bronze.raw_{kind}
               WHERE day BETWEEN :since AND :day GROUP BY {key}, reason"""
    return list(lake.query(text, **span).to_pylist())


def _replace_rejects(lake: Lake, span: dict[str, date], counts: dict[str, list[Row]]) -> None:
    text = " UNION ALL ".join(
        f"""SELECT '{kind}' AS source, file, line, raw, reason, run_id, day FROM bronze.raw_{kind}
            WHERE reason IS NOT NULL AND day BETWEEN :since AND :day"""
        for kind in KINDS
    )
    few = sum(sum(_reasons(rows).values()) for rows in counts.values()) < MANY
    lake.replace("bronze.rejects", (lake.query if few else lake.sql)(text, **span), where=day_range_predicate(**span))


def _refuse_mostly_bad(counts: dict[str, list[Row]], settings: Settings) -> None:
    """raises UserError if so many lines are refused that the files cannot be what they should be."""
    for kind, rows in counts.items():
        lines, reasons = sum(row["lines"] for row in rows), _reasons(rows)
        if lines and sum(reasons.values()) / lines > settings.logs.max_reject_share:
            most = max(reasons, key=lambda reason: reasons[reason]).removeprefix("reject:")
            raise UserError(
                f"{sum(reasons.values()):,} of {lines:,} lines of {kind} are refused, most often because {most};"
                " bronze.rejects has them with file and line (logs.max_reject_share lets more pass)"
            )


def _merge_items(lake: Lake, span: dict[str, date], counts: list[Row]) -> None:
    held = lake.query("SELECT 1 FROM silver.items WHERE day BETWEEN :since AND :day LIMIT 1", **span)
    if held.num_rows or any(row["reason"] is None for row in counts):
        lake.remember_version("silver.items")
        lake.transform("latest_items", **span).createOrReplaceTempView("latest")
        lake.transform("merge_items", **span).collect()
        lake.outputs["silver.items"] = lake.version("silver.items")


def _reasons(counts: list[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in counts:
        if row["reason"] is not None:
            found[f"reject:{row['reason']}"] = found.get(f"reject:{row['reason']}", 0) + row["lines"]
    return found


def _touched(counts: list[Row], days: set[date]) -> list[Row]:
    """Good lines for each event day that was written again, so that samples can follow late lines."""
    lines = dict.fromkeys(days, 0)
    for row in counts:
        if row["reason"] is None:
            lines[row["event_day"]] += row["lines"]
    return [row for day in sorted(days) for row in metric_rows("event_days", str(day), {"lines": lines[day]})]


def _event_fates(lake: Lake, counts: list[Row], span: dict[str, date], days: list[date]) -> dict[str, int]:
    """raises RuntimeError unless rows in = rows out + rejects + duplicates, each counted on its own."""
    text = (ROOT / "transforms" / "event_fates.sql").read_text()
    duplicate = lake.query(text, **span, days=days)["rows_duplicate"][0].as_py() if days else 0
    return _balanced(counts, _written(lake, "silver.events", "landed_day", span), int(duplicate), "events")


def _item_fates(lake: Lake, counts: list[Row], span: dict[str, date]) -> dict[str, int]:
    """An older version of an item, or the same one again, counts as duplicate."""
    lines = sum(row["lines"] for row in counts if row["reason"] is None)
    out = _written(lake, "silver.items", "day", span)
    return _balanced(counts, out, lines - out, "items")


def _written(lake: Lake, table: str, column: str, span: dict[str, date]) -> int:
    found = lake.query(f"SELECT count(*) AS n FROM {table} WHERE {column} BETWEEN :since AND :day", **span)
    return int(found["n"][0].as_py())


def _balanced(counts: list[Row], out: int, duplicate: int, kind: str) -> dict[str, int]:
    rejected = sum(row["lines"] for row in counts if row["reason"] is not None)
    fates = dict(zip(FATES, (sum(row["lines"] for row in counts), out, rejected, duplicate), strict=True))
    if fates["rows_in"] != out + rejected + duplicate or duplicate < 0:
        raise RuntimeError(f"{kind} do not add up: {fates}; rows in must be rows out + rejected + duplicate")
    return fates


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--since", type=parse_day, help="land the days from here to --day as history")


if __name__ == "__main__":
    main(run, arguments)
