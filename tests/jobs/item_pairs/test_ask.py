"""Questions about items: asked once for each text, saved while they arrive."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs import ask
from jobs.encoders.tuning_data import load_tuning_items
from jobs.item_pairs import row_saver
from jobs.item_pairs.askers import Item
from jobs.item_pairs.settings import Ask, AskLlm
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings
from models.llm.question_prompt import Question
from models.llm.question_templates import TEMPLATE_VERSION
from tests.scripted_lm import scripted_lm

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)


def put(lake: Lake, **titles: str | None) -> None:
    items = [
        {"item_id": item, "title": title, "category": ["kitchen"] if title else [], "text": title or item,
         "content_hash": f"hash of {title}", "file": "f", "line": 1, "day": DAY} for item, title in titles.items()
    ]  # fmt: skip
    lake.replace("silver.items", pa.Table.from_pylist(items, contracts()["silver.items"].arrow))


def saved_rows(lake: Lake) -> list[tuple[Any, ...]]:
    rows = lake.arrow(ask.TABLE).sort_by([("day", "ascending"), ("item_id", "ascending"), ("number", "ascending")])
    return [(row["item_id"], row["number"], row["answer"], row["day"]) for row in rows.to_pylist()]


class Recorder:
    """An asker that remembers what it was asked about.

    unreadable  item about which its answer cannot be read
    breaks_at   item at which it raises an error
    """

    def __init__(self, version: str, unreadable: str = "", breaks_at: str = "") -> None:
        self.version, self.unreadable, self.breaks_at, self.asked = version, unreadable, breaks_at, list[str]()

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        for item in sorted(items, key=lambda item: str(item["item_id"])):
            if item["item_id"] == self.breaks_at:
                raise ConnectionError
            self.asked.append(item["item_id"])
            question = Question("What is it?", str(item["title"]))
            yield item, None if item["item_id"] == self.unreadable else [question]


def test_templates_ask_by_default_and_number_their_questions(lake: Lake, settings: Settings) -> None:
    put(lake, a="red kettle", b=None)
    written = ask.run(lake, settings, DAY)
    assert saved_rows(lake) == [("a", 1, "kitchen", DAY), ("a", 2, "red kettle", DAY), ("a", 3, "red, kettle", DAY)]
    assert (written.notes["asked"], written.notes["without"], written.notes["questions"]) == (2, 1, 3)
    assert written.rows_in == written.rows_out + written.rows_rejected + written.rows_duplicate


def test_a_day_on_which_no_text_changed_is_skipped_and_says_why(lake: Lake, settings: Settings) -> None:
    put(lake, a="kettle", b=None)
    assert "skipped" not in ask.run(lake, settings, DAY).notes
    before = lake.version(ask.TABLE)
    assert ask.run(lake, settings, NEXT).notes["skipped"] == "no item has a new text to ask about"
    assert lake.version(ask.TABLE) == before


def test_only_a_new_text_or_another_asker_asks_again(lake: Lake) -> None:
    put(lake, a="kettle", b="teapot")
    ask.ask_items(lake, Recorder("one"), DAY)
    put(lake, a="kettle", b="blue teapot", c="cup")
    again, other = Recorder("one"), Recorder("two")
    ask.ask_items(lake, again, NEXT)
    ask.ask_items(lake, other, NEXT)
    assert (again.asked, other.asked) == (["b", "c"], ["a", "b", "c"])
    assert saved_rows(lake)[:2] == [("a", 1, "kettle", DAY), ("b", 1, "teapot", DAY)]


def test_an_unreadable_answer_is_counted_and_not_asked_again_until_the_text_or_the_asker_changes(
    lake: Lake, settings: Settings
) -> None:
    put(lake, a="kettle", b="teapot")
    written = ask.ask_items(lake, Recorder(TEMPLATE_VERSION, unreadable="b"), DAY)
    assert (written.notes["unparsed"], written.rows_rejected) == (1, 1)
    assert saved_rows(lake) == [("a", 1, "kettle", DAY), ("b", 0, "", DAY)]
    assert load_tuning_items(lake, settings, [("a", "b")])["questions"].to_pylist() == [[["What is it?", "kettle"]], []]
    again, other = Recorder(TEMPLATE_VERSION), Recorder("two")
    assert ask.ask_items(lake, again, NEXT).notes["skipped"]
    ask.ask_items(lake, other, NEXT)
    put(lake, a="kettle", b="blue teapot")
    ask.ask_items(lake, again, NEXT)
    assert (again.asked, other.asked) == (["b"], ["a", "b"])


@pytest.mark.parametrize("save_every", [0.001, 60.0])
def test_answers_from_before_an_error_are_not_asked_for_again(
    lake: Lake, save_every: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_saver, "SAVE_EVERY", save_every)
    put(lake, a="kettle", b="teapot", c="cup")
    with pytest.raises(ConnectionError):
        ask.ask_items(lake, Recorder("one", breaks_at="c"), DAY)
    again = Recorder("one")
    ask.ask_items(lake, again, DAY)
    assert again.asked == ["c"]
    assert [row[0] for row in saved_rows(lake)] == ["a", "b", "c"]


def test_a_language_model_writes_the_questions(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"Question {n}?", "answer": f"answer {n}"}) + "\n" for n in range(10)]
    good, chatty = scripted_lm(tmp_path / "good", list(lines)), scripted_lm(tmp_path / "chatty", ["Sure! ", lines[0]])

    def run(folder: Path) -> dict[str, Any]:
        with_llm = settings.model_copy(update={"ask": Ask(kind="llm", llm=AskLlm(model=str(folder)))})
        return ask.run(lake, with_llm, DAY).notes

    put(lake, a="kettle", b=None)
    assert run(chatty)["unparsed"] == 1
    notes = run(good)
    assert (notes["asked"], notes["questions"], notes["without"]) == (2, 10, 1)
    assert saved_rows(lake) == [("a", 0, "", DAY)] + [("a", n + 1, f"answer {n}", DAY) for n in range(10)]
