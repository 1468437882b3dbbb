"""Verdicts on item pairs: what a judge says of a pair, and where verdicts are kept."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from jobs.item_pairs.row_saver import RowSaver
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.runtime.progress import progress

PAIRS, VERDICTS = "silver.item_pairs", "silver.item_verdicts"
PAIRS_AT_ONCE = 4096  # pairs whose texts are in memory
Pair = tuple[str, str]
_QUESTIONS = """
SELECT DISTINCT item_a, item_b FROM silver.item_pairs
ANTI JOIN (SELECT item_a, item_b FROM silver.item_verdicts WHERE judge_version = :judge) USING (item_a, item_b)
WHERE day = :day AND source IN :sources ORDER BY ALL
"""
_COUNT = "SELECT count(DISTINCT (item_a, item_b)) AS n FROM silver.item_pairs WHERE day = :day AND source IN :sources"
# `judges` says which judge judges the pairs of a source, `not_final` has the verdicts that are not stored.
_JUDGED = """
WITH verdicts AS (
  SELECT judge_version, item_a, item_b,
    arg_max({'verdict': verdict, 'reason': reason, 'judge_seconds': judge_seconds}, day) AS last
  FROM (SELECT * FROM silver.item_verdicts WHERE judge_version IN :versions UNION ALL BY NAME SELECT * FROM not_final)
  SEMI JOIN (SELECT item_a, item_b FROM silver.item_pairs WHERE day = :day) USING (item_a, item_b)
  GROUP BY ALL
)
SELECT p.item_a, p.item_b, source, score, last.verdict AS verdict, last.reason AS reason,
  j.judge_version, last.judge_seconds AS judge_seconds, day,
  (p.verdict, p.reason, p.judge_version, p.judge_seconds)
    IS DISTINCT FROM (last.verdict, last.reason, j.judge_version, last.judge_seconds) AS is_new
FROM silver.item_pairs p LEFT JOIN judges j USING (source)
LEFT JOIN verdicts v ON v.judge_version = j.judge_version AND v.item_a = p.item_a AND v.item_b = p.item_b
WHERE day = :day
"""


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


def find_questions(lake: Lake, judge_version: str, sources: list[str], day: date) -> tuple[pa.Table, int]:
    """The day's pairs of these sources (item_a, item_b) of which the judge has said nothing on any day, sorted.

    returns  them, and the number of the other pairs
    """
    questions = lake.query(_QUESTIONS, judge=judge_version, sources=sources, day=day)
    pairs = lake.query(_COUNT, sources=sources, day=day)["n"][0].as_py()
    return questions, pairs - len(questions)


def ask_judge(lake: Lake, judge: Judge, questions: pa.Table, day: date) -> pa.Table:
    """Ask the judge about all pairs, and save final verdicts to silver.item_verdicts while they arrive.

    returns  the verdicts that are not final, as rows of that table
    """
    contract, not_final = contracts()[VERDICTS].arrow, list[dict[str, Any]]()
    report_progress, done = progress("judging pairs"), 0
    with RowSaver(lake, VERDICTS, judge_version=judge.version, day=day) as saver:
        for start in range(0, len(questions), PAIRS_AT_ONCE):
            for (a, b), verdict in judge.judge(_read_pairs(questions.slice(start, PAIRS_AT_ONCE))):
                row: dict[str, Any] = {"item_a": a, "item_b": b, "verdict": verdict.verdict, "reason": verdict.reason}
                row |= {"judge_seconds": verdict.seconds}
                if verdict.is_final:
                    saver.add([row])
                else:
                    not_final.append(row | {"judge_version": judge.version, "day": day})
                done += 1
                report_progress(done, len(questions))
    return pa.Table.from_pylist(not_final, contract)


class JudgedPairs:
    """The day's pairs with the verdicts of their judges.

    versions   of the judge of each source
    not_final  what `ask_judge` returned
    """

    def __init__(self, lake: Lake, versions: Mapping[str, str], not_final: pa.Table, day: date) -> None:
        judges = pa.table({"source": list(versions), "judge_version": list(versions.values())})
        self.lake, self.views = lake, {"judges": judges, "not_final": not_final}
        self.arguments: dict[str, Any] = {"versions": sorted(set(versions.values())), "day": day}

    def count(self) -> list[dict[str, Any]]:
        """For each source, the number of `pairs`, and of those with a new verdict (`new`) and with none (`open`).

        Also of those whose verdict is unsure (`unsure`), and of those whose verdict is not yes (`dropped`).
        """
        text = f"""SELECT source, count(*) AS pairs, count_if(is_new) AS new, count_if(verdict IS NULL) AS open,
            count_if(verdict <> 'yes') AS dropped, count_if(verdict = 'unsure') AS unsure
            FROM ({_JUDGED}) GROUP BY source ORDER BY source"""
        counts: list[dict[str, Any]] = self.lake.query(text, self.views, **self.arguments).to_pylist()
        return counts

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Rows of silver.item_pairs, as a stream."""
        return self.lake.stream(
            f"SELECT * EXCLUDE (is_new) FROM ({_JUDGED}) ORDER BY ALL", self.views, **self.arguments
        )


def carry_verdicts(lake: Lake, pairs: pa.Table, source: str, day: date) -> pa.Table:
    """Rows of silver.item_pairs for new pairs (item_a, item_b, score) of a source, sorted.

    A pair gets the verdict that it already has on this day, or else the newest verdict of another day.
    """
    rows = lake.query_transform("carry_verdicts", {"new_pairs": pairs}, source=source, day=day)
    return rows.cast(contracts()[PAIRS].arrow).sort_by([("item_a", "ascending"), ("item_b", "ascending")])


def _read_pairs(rows: pa.Table) -> list[Pair]:
    return list(zip(rows["item_a"].to_pylist(), rows["item_b"].to_pylist(), strict=True))
