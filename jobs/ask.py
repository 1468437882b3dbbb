"""Ask ten questions about each item and store their answers, by templates or by a language model.

    python -m jobs.ask --day 2026-11-20

Reads silver.items. Adds rows to silver.item_questions, partition (asker_version, day), while it asks.

An item is asked about once for each text, image and asker. If the reply of a language model cannot be read, a row with
number 0 says so. Templates ask only what an item's own fields answer: an item with few fields gets fewer than ten
questions, an item without fields gets none.
"""

import sys
from datetime import date

from jobs.item_pairs.askers import Asker, load_asker
from jobs.item_pairs.item_questions import KEY, TABLE, find_items_without_questions, question_rows, stream_items
from jobs.item_pairs.row_saver import RowSaver
from jobs.lake import JobResult, Lake
from jobs.lake.run_state import share
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    return ask_items(lake, load_asker(settings), day)


def ask_items(lake: Lake, asker: Asker, day: date) -> JobResult:
    """Ask about the items that this asker has not asked about yet, and save the answers while they arrive."""
    share(lake, day, TABLE)  # what another run has asked meanwhile must not be asked twice
    items = lake.arrow("silver.items", KEY)
    unasked = find_items_without_questions(lake, items, asker.version)
    counts = {"asked": 0, "questions": 0, "without": 0, "unparsed": 0}
    report_progress = progress("asking about items")
    with RowSaver(lake, TABLE, asker_version=asker.version, day=day) as saver:
        for batch in stream_items(lake, unasked):
            for item, questions in asker.ask(batch):
                saver.add(question_rows(item, questions))
                counts["asked"] += 1
                counts["questions"] += len(questions or [])
                counts["without"] += questions == []
                counts["unparsed"] += questions is None
                report_progress(counts["asked"], unasked.num_rows)
    warn_if_mostly_unparsed(counts)
    notes = {**counts, "asker_version": asker.version}
    if counts["asked"] == counts["without"]:
        notes["skipped"] = "no item has a new text to ask about"
    parsed = counts["asked"] - counts["unparsed"]
    return JobResult(items.num_rows, parsed, counts["unparsed"], items.num_rows - unasked.num_rows, notes)


def warn_if_mostly_unparsed(counts: dict[str, int]) -> None:
    """Print what to check if more than half of the replies could not be read."""
    if 2 * counts["unparsed"] > counts["asked"]:
        print(
            f"{counts['unparsed']:,} of {counts['asked']:,} replies are not questions with answers in the expected"
            " form: is ask.llm.model large enough, and is ask.llm.max_new_tokens high enough?",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main(run)
