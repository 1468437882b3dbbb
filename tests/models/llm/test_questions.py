"""Questions by templates, and how strictly the questions of a language model are read."""

import json
from typing import Any

import pytest

from models.llm.question_prompt import Question, read_questions
from models.llm.question_templates import price_band, template_questions

GOOD = '{"question": "What is it?", "answer": "a kettle"}'


def ask_templates(**fields: Any) -> dict[str, str]:
    empty = dict.fromkeys(("title", "description", "category", "attributes", "price"))
    return dict(template_questions(empty | fields))


def test_a_rich_item_gets_ten_questions_and_no_more() -> None:
    attributes = json.dumps({"material": "oak", "brand": "Nonna", "colour": "red", "use": ["tea", "coffee"]})
    questions = ask_templates(
        title="Nonna classic moka pot, red",
        description="Moka pot for coffee. Made for people who use it.",
        category=["kitchen", "coffee", "moka pot"],
        attributes=attributes,
        price=34.5,
    )
    assert questions == {
        "What is the category of the item?": "moka pot",
        "What is the broadest category of the item?": "kitchen",
        "What is the item called?": "Nonna classic moka pot, red",
        "Which brand does the item have?": "Nonna",
        "Which colour does the item have?": "red",
        "Which material does the item have?": "oak",
        "Which use does the item have?": "tea, coffee",
        "In which price band is the item?": "from 20 to 50",
        "Where in the catalogue is the item?": "kitchen / coffee / moka pot",
        "Which words stand in the title of the item?": "nonna, classic, moka, red",
    }


def test_only_what_the_fields_answer_is_asked() -> None:
    assert ask_templates() == {}
    assert ask_templates(title="RETRO") == {"What is the item called?": "RETRO"}
    assert ask_templates(attributes="not JSON", price=0.0, category=[None]) == {}
    assert ask_templates(attributes='{"brand": null, "tags": [], "size": " "}') == {}
    assert ask_templates(description="x" * 400 + ". y") == {}


@pytest.mark.parametrize(
    ("price", "band"), [(0.85, (0.5, 1)), (1, (1, 2)), (4.99, (2, 5)), (5, (5, 10)), (1234, (1000, 2000))]
)
def test_a_price_lies_in_its_band(price: float, band: tuple[float, float]) -> None:
    assert price_band(price) == band


def test_lines_of_json_are_read() -> None:
    second = '{"answer": " oak ", "question": "What is it made of?"}'
    assert read_questions(f"{GOOD}\n\n{second}\n") == [
        Question("What is it?", "a kettle"),
        Question("What is it made of?", "oak"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Here are the questions:\n" + GOOD,
        f"```json\n{GOOD}\n```",
        f"[{GOOD}]",
        GOOD + "\n" + GOOD,
        GOOD + '\n{"question": "Wha',
        '{"question": "What is it?"}',
        '{"question": "What is it?", "answer": ""}',
        '{"question": "What is it?", "answer": 3}',
        '{"question": "What is it?", "answer": "a", "more": "b"}',
        json.dumps({"question": "What?", "answer": "a" * 301}),
        "\n".join(json.dumps({"question": str(n), "answer": "a"}) for n in range(11)),
    ],
)
def test_a_reply_with_any_other_text_is_not_read_at_all(text: str) -> None:
    assert read_questions(text) is None


@pytest.mark.parametrize("half", ["\\ud83d", "\\udc00"])
def test_half_an_emoji_is_replaced(half: str) -> None:
    """JSON contains such halves if a text was cut within an emoji. No table can store them."""
    questions = ask_templates(attributes=f'{{"colour{half}": "red{half}", "size": {{"a": ["{half}"]}}}}')
    assert questions["Which colour? does the item have?"] == "red?"
    assert [*map(str.encode, questions.values())]
    assert read_questions(f'{{"question": "q{half}", "answer": "a{half}"}}') == [Question("q?", "a?")]


@pytest.mark.parametrize("depth", [900, 990, 100_000])
def test_attributes_that_are_nested_too_deeply_give_no_question(depth: int) -> None:
    assert ask_templates(attributes='{"a": ' + "[" * depth + "]" * depth + "}") == {}
