"""Judge the pairs of a day: do the two items belong together, and why?

    python -m jobs.judge --day 2026-11-20

Reads silver.item_pairs, silver.items and, for the similarity judge, gold.item_embeddings. Writes
silver.item_verdicts while it judges, then silver.item_pairs, partition day: verdict, reason, judge_version,
judge_seconds. What the same judge said of a pair before, on any day, is not asked again, also after a kill.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.item_pairs.judges import Judge, Pair, Verdict, load_judges
from jobs.lake import JobResult, Lake
from jobs.lake.arrow import rows_with_keys
from jobs.lake.contracts import contracts
from jobs.lake.row_saver import RowSaver
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings

TABLE, VERDICTS = "silver.item_pairs", "silver.item_verdicts"
KEY = ["item_a", "item_b"]
GIVEN = ["verdict", "reason", "judge_version", "judge_seconds"]
AT_ONCE = 4096  # pairs whose texts are in memory


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    rows = lake.arrow(TABLE, where=ds.field("day") == day)
    if not rows.num_rows:
        return JobResult(notes={"pairs": 0, "asked": 0, "carried": 0, "skipped": "no pairs were found on this day"})
    sources = sorted(set(rows["source"].to_pylist()))
    return judge_rows(lake, rows, load_judges(lake, settings, sources), day)


def judge_rows(lake: Lake, rows: pa.Table, judges: Mapping[str, Judge], day: date) -> JobResult:
    """Give every pair of the day the verdict of its source's judge; ask only for pairs that it never judged.

    A pair whose items the judge could not read is asked again: they may be known by now.
    """
    pairs, sources = _pairs(rows), rows["source"].to_pylist()
    versions = {source: judges[source].version for source in judges}
    known: dict[str, dict[Pair, Verdict]] = {}
    asked = 0
    for judge in {judge.version: judge for judge in judges.values()}.values():
        mine = {pair for pair, source in zip(pairs, sources, strict=True) if versions[source] == judge.version}
        given = known[judge.version] = _given(lake, mine, judge.version)
        todo = sorted(mine - given.keys())
        given.update(_asked(lake, judge, todo, day))
        asked += len(todo)
    verdicts = [known[versions[source]][pair] for pair, source in zip(pairs, sources, strict=True)]
    filled = _filled(rows, verdicts, [versions[source] for source in sources])
    notes: dict[str, Any] = {"pairs": len(pairs), "asked": asked, "carried": sum(map(len, known.values())) - asked}
    notes |= _shares(filled)
    if filled.equals(rows):
        notes["skipped"] = "every pair has its verdict"
    else:
        lake.replace(TABLE, filled, day=day)
    return JobResult(len(pairs), len(pairs), notes=notes)


def _pairs(rows: pa.Table | pa.RecordBatch) -> list[Pair]:
    return list(zip(rows["item_a"].to_pylist(), rows["item_b"].to_pylist(), strict=True))


def _given(lake: Lake, wanted: set[Pair], version: str) -> dict[Pair, Verdict]:
    """What this judge has said of the wanted pairs, read as a stream, as the table grows by the day."""
    given: dict[Pair, Verdict] = {}
    columns = [*KEY, "verdict", "reason", "judge_seconds"]
    for batch in lake.batches(VERDICTS, columns, ds.field("judge_version") == version) if wanted else ():
        found = rows_with_keys(batch, KEY, wanted)
        verdicts = map(Verdict, *(found[name].to_pylist() for name in columns[2:]))
        given.update(zip(_pairs(found), verdicts, strict=True))
    return given


def _asked(lake: Lake, judge: Judge, todo: list[Pair], day: date) -> dict[Pair, Verdict]:
    """Ask, and save each lasting verdict soon after it came."""
    given: dict[Pair, Verdict] = {}
    tell = progress("judging pairs")
    with RowSaver(lake, VERDICTS, judge_version=judge.version, day=day) as journal:
        for start in range(0, len(todo), AT_ONCE):
            for (a, b), verdict in judge.judge(todo[start : start + AT_ONCE]):
                given[a, b] = verdict
                if verdict.lasting:
                    told = {"verdict": verdict.verdict, "reason": verdict.reason, "judge_seconds": verdict.seconds}
                    journal.add([{"item_a": a, "item_b": b, **told}])
                tell(len(given), len(todo))
    return given


def _filled(rows: pa.Table, verdicts: list[Verdict], versions: list[str]) -> pa.Table:
    """The pairs with their verdicts."""
    said = [[v.verdict for v in verdicts], [v.reason for v in verdicts], versions, [v.seconds for v in verdicts]]
    for name, values in zip(GIVEN, said, strict=True):
        field = contracts()[TABLE].arrow.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return rows


def _shares(rows: pa.Table) -> dict[str, dict[str, float]]:
    """Of each source's pairs, the share that is not a yes, and how many are unsure."""
    counted = rows.select(["source"])
    counted = counted.append_column("dropped", pc.cast(pc.not_equal(rows["verdict"], "yes"), pa.float64()))
    counted = counted.append_column("unsure", pc.cast(pc.equal(rows["verdict"], "unsure"), pa.int64()))
    found = counted.group_by("source").aggregate([("dropped", "mean"), ("unsure", "sum")]).sort_by("source").to_pylist()
    return {
        "dropped": {row["source"]: round(row["dropped_mean"], 4) for row in found},
        "unsure": {row["source"]: row["unsure_sum"] for row in found},
    }


if __name__ == "__main__":
    main(run)
