"""Ask ten questions about each item and note their answers, by templates or by a language model.

    python -m jobs.ask --day 2026-11-20

Reads silver.items. Adds to silver.item_questions, partition (asker_version, day), while it asks. An item is asked
about once for each text, image and asker; where what a language model wrote cannot be read, a row with number 0 says
so. Templates ask only what an item's fields answer: fewer than ten questions for poor items, none for an item without
any.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.item_pairs.language_model import llm_version, open_llm
from jobs.item_pairs.settings import AskLlm
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.arrow import rows_with_keys
from jobs.lake.row_saver import RowSaver
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.llm import question_prompt as asking
from models.llm import question_templates as templates
from models.llm.interface import LanguageModel, UnusableModelError
from models.llm.item_text import item_json
from models.llm.question_prompt import Question

TABLE = "silver.item_questions"
KEY = ["item_id", "content_hash"]
COLUMNS = [*KEY, "title", "description", "category", "attributes", "price"]
AT_ONCE = 4096  # items whose texts are in memory
Item = dict[str, Any]


class Asker(Protocol):
    version: str

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        """Each item and the questions about it, as they come; None if what came could not be read."""


@dataclass
class Templates:
    version: str = templates.TEMPLATE_VERSION

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        for item in items:
            yield item, templates.template_questions(item)


class LlmAsker:
    """Does not ask about an item without title, category and attributes."""

    def __init__(self, settings: AskLlm) -> None:
        self.settings = settings
        self.version = f"llm-{asking.PROMPT_VERSION}-{llm_version(settings)}"
        self.model = cache(self._open)  # at the first question

    def _open(self) -> LanguageModel:
        return open_llm(self.settings, "ask.llm")

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        texts = [item_json(item) for item in items]
        yield from ((item, []) for item, text in zip(items, texts, strict=True) if text == "{}")
        asked = [(item, text) for item, text in zip(items, texts, strict=True) if text != "{}"]
        if not asked:
            return
        prompts = [asking.ask_prompt(text) for _, text in asked]
        try:
            for place, reply in self.model().reply(prompts, max_new_tokens=self.settings.max_new_tokens):
                yield asked[place][0], asking.read_questions(reply.text)
        except UnusableModelError as error:
            raise UserError(f"ask.llm: {error}") from None


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    return ask_items(lake, load_asker(settings), day)


def load_asker(settings: Settings) -> Asker:
    return LlmAsker(settings.ask.llm) if settings.ask.kind == "llm" else Templates()


def ask_items(lake: Lake, asker: Asker, day: date) -> JobResult:
    items = lake.arrow("silver.items", KEY)
    # Whoever has a first question has them all: an item's questions are saved in one commit.
    known = lake.arrow(TABLE, KEY, (ds.field("asker_version") == asker.version) & (ds.field("number") <= 1))
    todo = items.join(known, KEY, join_type="left anti")
    told = {"asked": 0, "questions": 0, "without": 0, "unparsed": 0}
    tell = progress("asking about items")
    with RowSaver(lake, TABLE, asker_version=asker.version, day=day) as journal:
        for some in _items(lake, todo) if todo.num_rows else ():
            for item, questions in asker.ask(some):
                journal.add(_rows(item, questions))
                told["asked"] += 1
                told["questions"] += len(questions or [])
                told["without"] += questions == []
                told["unparsed"] += questions is None
                tell(told["asked"], todo.num_rows)
    skipped = {} if told["asked"] > told["without"] else {"skipped": "no item has a new text to ask about"}
    done = told["asked"] - told["unparsed"]
    if told["unparsed"] > done:
        print(
            f"{told['unparsed']:,} of {told['asked']:,} answers are no questions and answers as asked for: is"
            " ask.llm.model large enough, and ask.llm.max_new_tokens?",
            file=sys.stderr,
        )
    notes = {**told, **skipped, "asker_version": asker.version}
    return JobResult(items.num_rows, done, told["unparsed"], items.num_rows - todo.num_rows, notes)


def _items(lake: Lake, todo: pa.Table) -> Iterator[list[Item]]:
    """The items to ask about, some at a time."""
    wanted = set(zip(todo["item_id"].to_pylist(), strict=True))
    for batch in lake.batches("silver.items", COLUMNS):
        for start in range(0, batch.num_rows, AT_ONCE):
            if some := rows_with_keys(batch.slice(start, AT_ONCE), ["item_id"], wanted).to_pylist():
                yield some


def _rows(item: Item, questions: list[Question] | None) -> list[dict[str, Any]]:
    numbered = [(0, Question("", ""))] if questions is None else enumerate(questions, start=1)
    key = {name: item[name] for name in KEY}
    return [key | {"number": number} | pair._asdict() for number, pair in numbered]


if __name__ == "__main__":
    main(run)
