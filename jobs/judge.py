"""Judge the pairs of a day: do the two items belong together, and why?

    python -m jobs.judge --day 2026-11-20

Reads silver.item_pairs, silver.items and, for the similarity judge, gold.item_embeddings. Writes
silver.item_verdicts while it judges, then silver.item_pairs, partition day: verdict, reason, judge_version,
judge_seconds. If the same judge judged a pair before, on any day or in a run that was killed, it is not asked again.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.item_pairs.judge_per_source import load_judges
from jobs.item_pairs.verdicts import VERDICTS, Judge, Pair, Verdict, ask_judge, load_verdicts, read_pairs, set_verdicts
from jobs.lake import JobResult, Lake
from jobs.lake.run_state import share
from jobs.runtime.entry import main
from jobs.settings.tree import Settings

TABLE = "silver.item_pairs"


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    # Another run may have found pairs of this day, or judged pairs, since this run began: neither must be lost.
    share(lake, day, TABLE, VERDICTS)
    version = lake.delta(TABLE).version()
    rows = lake.arrow(TABLE, where=ds.field("day") == day, version=version)
    if not rows.num_rows:
        return JobResult(notes={"pairs": 0, "asked": 0, "carried": 0, "skipped": "no pairs were found on this day"})
    sources = sorted(set(rows["source"].to_pylist()))
    return judge_rows(lake, rows, load_judges(lake, settings, sources), day, version)


def judge_rows(
    lake: Lake, rows: pa.Table, judges: Mapping[str, Judge], day: date, version: int | None = None
) -> JobResult:
    """Give every pair of the day the verdict of its source's judge. Ask only about pairs without a final verdict.

    version  of silver.item_pairs that the rows are from: nothing is written if another run has changed them since
    """
    pairs, sources = read_pairs(rows), rows["source"].to_pylist()
    versions = [judges[source].version for source in sources]
    verdicts: dict[str, dict[Pair, Verdict]] = {}  # by the judge's version
    asked = 0
    for judge in {judge.version: judge for judge in judges.values()}.values():
        wanted = {pair for pair, judge_version in zip(pairs, versions, strict=True) if judge_version == judge.version}
        known = load_verdicts(lake, wanted, judge.version)
        unknown = sorted(wanted - known.keys())
        verdicts[judge.version] = known | ask_judge(lake, judge, unknown, day)
        asked += len(unknown)
    row_verdicts = [verdicts[judge_version][pair] for pair, judge_version in zip(pairs, versions, strict=True)]
    judged_rows = set_verdicts(rows, row_verdicts, versions)
    notes: dict[str, Any] = {"pairs": len(pairs), "asked": asked, "carried": sum(map(len, verdicts.values())) - asked}
    notes |= count_verdicts(judged_rows)
    if judged_rows.equals(rows):
        notes["skipped"] = "every pair has its verdict"
    else:
        lake.replace(TABLE, judged_rows, computed_at=version, day=day)
    return JobResult(len(pairs), len(pairs), notes=notes)


def count_verdicts(rows: pa.Table) -> dict[str, dict[str, float]]:
    """For each source: the share of its pairs whose verdict is not yes, and the number of unsure verdicts."""
    counted = rows.select(["source"])
    counted = counted.append_column("dropped", pc.cast(pc.not_equal(rows["verdict"], "yes"), pa.float64()))
    counted = counted.append_column("unsure", pc.cast(pc.equal(rows["verdict"], "unsure"), pa.int64()))
    by_source = counted.group_by("source").aggregate([("dropped", "mean"), ("unsure", "sum")])
    sources = by_source.sort_by("source").to_pylist()
    return {
        "dropped": {row["source"]: round(row["dropped_mean"], 4) for row in sources},
        "unsure": {row["source"]: row["unsure_sum"] for row in sources},
    }


if __name__ == "__main__":
    main(run)
