"""Verdicts on item pairs: what a judge says of a pair, and where verdicts are kept."""

from collections.abc import Iterator, Set
from datetime import date
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.item_pairs.row_saver import RowSaver
from jobs.lake import Lake
from jobs.lake.arrow import rows_with_keys
from jobs.lake.contracts import contracts
from jobs.runtime.progress import progress

PAIRS, VERDICTS = "silver.item_pairs", "silver.item_verdicts"
KEY = ["item_a", "item_b"]
VERDICT_COLUMNS = ["verdict", "reason", "judge_version", "judge_seconds"]  # of silver.item_pairs
PAIRS_AT_ONCE = 4096  # pairs whose texts are in memory
Pair = tuple[str, str]


class Verdict(NamedTuple):
    """What a judge says of a pair.

    verdict   yes, no or unsure
    is_final  False if the judge knows nothing of an item; it is asked again in later runs
    """

    verdict: str
    reason: str
    seconds: float | None = None
    is_final: bool = True


class Judge(Protocol):
    """Says of item pairs whether the two items belong together."""

    @property
    def version(self) -> str:
        """Changes whenever a verdict could change."""

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        """Yield one verdict for each pair, in any order."""


def read_pairs(rows: pa.Table | pa.RecordBatch) -> list[Pair]:
    """The pair of each row."""
    return list(zip(rows["item_a"].to_pylist(), rows["item_b"].to_pylist(), strict=True))


def load_verdicts(lake: Lake, pairs: Set[Pair], judge_version: str) -> dict[Pair, Verdict]:
    """What a judge said of these pairs on any day. The table grows every day, so it is read as a stream."""
    verdicts: dict[Pair, Verdict] = {}
    columns = [*KEY, "verdict", "reason", "judge_seconds"]
    for batch in lake.batches(VERDICTS, columns, ds.field("judge_version") == judge_version) if pairs else ():
        rows = rows_with_keys(batch, KEY, pairs)
        values = map(Verdict, *(rows[name].to_pylist() for name in columns[2:]))
        verdicts.update(zip(read_pairs(rows), values, strict=True))
    return verdicts


def ask_judge(lake: Lake, judge: Judge, pairs: list[Pair], day: date) -> dict[Pair, Verdict]:
    """Ask the judge about all pairs, and save final verdicts to silver.item_verdicts while they arrive."""
    verdicts: dict[Pair, Verdict] = {}
    report_progress = progress("judging pairs")
    with RowSaver(lake, VERDICTS, judge_version=judge.version, day=day) as saver:
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            for (a, b), verdict in judge.judge(pairs[start : start + PAIRS_AT_ONCE]):
                verdicts[a, b] = verdict
                if verdict.is_final:
                    columns = {"verdict": verdict.verdict, "reason": verdict.reason, "judge_seconds": verdict.seconds}
                    saver.add([{"item_a": a, "item_b": b, **columns}])
                report_progress(len(verdicts), len(pairs))
    return verdicts


def set_verdicts(rows: pa.Table, verdicts: list[Verdict], judge_versions: list[str]) -> pa.Table:
    """Rows of silver.item_pairs with these verdicts [rows] of these judges [rows]."""
    columns = [
        [verdict.verdict for verdict in verdicts],
        [verdict.reason for verdict in verdicts],
        judge_versions,
        [verdict.seconds for verdict in verdicts],
    ]
    for name, values in zip(VERDICT_COLUMNS, columns, strict=True):
        field = contracts()[PAIRS].arrow.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return rows


def carry_verdicts(lake: Lake, pairs: pa.Table, source: str, day: date) -> pa.Table:
    """Rows of silver.item_pairs for new pairs (item_a, item_b, score) of a source.

    A pair gets the verdict that it already has on this day, or else the newest verdict of another day.
    """
    newest = _newest_verdicts(lake, set(read_pairs(pairs)), source, day)
    rows = pairs
    for number, name in enumerate(VERDICT_COLUMNS):
        field = contracts()[PAIRS].arrow.field(name)
        values = [newest[pair][number] if pair in newest else None for pair in read_pairs(pairs)]
        rows = rows.append_column(field, pa.array(values, field.type))
    rows = rows.append_column("source", pa.repeat(source, len(rows)))
    rows = rows.append_column("day", pa.repeat(pa.scalar(day), len(rows)))
    return rows.select(contracts()[PAIRS].names).sort_by([(name, "ascending") for name in KEY])


def _newest_verdicts(lake: Lake, pairs: Set[Pair], source: str, day: date) -> dict[Pair, list[Any]]:
    """The values of VERDICT_COLUMNS for each pair that has a verdict. This day comes before all other days."""
    newest: dict[Pair, tuple[tuple[bool, date], list[Any]]] = {}
    columns = [*KEY, *VERDICT_COLUMNS, "day"]
    has_verdict = (ds.field("source") == source) & ds.field("verdict").is_valid()
    for batch in lake.batches(PAIRS, columns, has_verdict):  # a stream: the table grows every day
        rows = rows_with_keys(batch, KEY, pairs)
        for a, b, *values, row_day in zip(*(rows[name].to_pylist() for name in columns), strict=True):
            recency = (row_day == day, row_day)
            if (a, b) not in newest or newest[a, b][0] < recency:
                newest[a, b] = recency, values
    return {pair: values for pair, (_, values) in newest.items()}
