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

from jobs.item_pairs.judge_per_source import load_judges
from jobs.item_pairs.verdicts import PAIRS, VERDICTS, Judge, JudgedPairs, ask_judge, find_questions
from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.lake.run_state import share
from jobs.runtime.entry import main
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    # Another run may have found pairs of this day, or judged pairs, since this run began: neither must be lost.
    share(lake, day, PAIRS, VERDICTS)
    sources = lake.query(f"SELECT DISTINCT source FROM {PAIRS} WHERE day = :day ORDER BY ALL", day=day)["source"]
    if not len(sources):
        return JobResult(notes={"pairs": 0, "asked": 0, "carried": 0, "skipped": "no pairs were found on this day"})
    return judge_pairs(lake, load_judges(lake, settings, sources.to_pylist()), day)


def judge_pairs(lake: Lake, judges: Mapping[str, Judge], day: date) -> JobResult:
    """Give every pair of the day the verdict of its source's judge. Ask only about pairs without a final verdict.

    If another run changes the day's pairs meanwhile, nothing is written.
    """
    version = lake.delta(PAIRS).version()
    with lake.read_at({PAIRS: version}):
        versions = {source: judge.version for source, judge in judges.items()}
        asked, carried, not_final = 0, 0, [contracts()[VERDICTS].arrow.empty_table()]
        for judge in {judge.version: judge for judge in judges.values()}.values():
            sources = [source for source, name in versions.items() if name == judge.version]
            questions, n_known = find_questions(lake, judge.version, sources, day)
            not_final.append(ask_judge(lake, judge, questions, day))
            asked, carried = asked + len(questions), carried + n_known
        judged = JudgedPairs(lake, versions, pa.concat_tables(not_final), day)
        counts = judged.count()
        if silent := [row["source"] for row in counts if row["open"]]:
            raise RuntimeError(f"the judges left out pairs from {', '.join(silent)}")
        n_pairs = sum(row["pairs"] for row in counts)
        notes: dict[str, Any] = {"pairs": n_pairs, "asked": asked, "carried": carried}
        notes["dropped"] = {row["source"]: round(row["dropped"] / row["pairs"], 4) for row in counts}
        notes["unsure"] = {row["source"]: row["unsure"] for row in counts}
        if any(row["new"] for row in counts):
            lake.replace(PAIRS, judged.rows(), computed_at=version, day=day)
        else:
            notes["skipped"] = "every pair has its verdict"
    return JobResult(n_pairs, n_pairs, notes=notes)


if __name__ == "__main__":
    main(run)
