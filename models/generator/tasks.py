"""What a language model learns about items and their codes: tasks, and the rows that are drawn for them.

The kinds are those of LC-Rec (arXiv 2311.09049), section 3.3. Semantic Convergence (arXiv 2412.13771) adds forms with
sampled negatives. Neither paper's wording can be used here: the templates are ours. Public sets hold no queries and
no stated preferences, so two kinds are stand-ins: a query is some words of the item's title, a preference is the
category of the item that follows.

A row is made of pieces. A text piece is plain text; an item piece stands for the codes of that item. Only item pieces
become codes, so a title can spell no code.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from models.generator.task_data import Past, TaskData
from models.llm.item_text import TITLE, neutralize

Kind = Literal["sequence", "item_to_codes", "codes_to_item", "text", "query", "preference"]
Form = Literal["predict", "choose", "verify"]  # give the answer; which of these; is it this one
Piece = str | int  # plain text, or the index of an item
Pieces = tuple[Piece, ...]


class Task(NamedTuple):
    kind: Kind
    form: Form


class Row(NamedTuple):
    """What the model reads, and what it learns to write after it."""

    prompt: Pieces
    answer: Pieces


LC_REC = tuple(Task(kind, "predict") for kind in get_args(Kind))
SEMANTIC_CONVERGENCE = tuple(Task(kind, form) for kind in get_args(Kind) for form in get_args(Form))
PRESETS = {"lc_rec": LC_REC, "semantic_convergence": SEMANTIC_CONVERGENCE}
SERVED = Task("sequence", "predict")
SERVED_SHARE = 0.5  # of the rows: this is the only task that makes the lists, all others share the rest
NEGATIVES = 4  # of a row that names candidates
TRIES = 4 * NEGATIVES  # items drawn to find them
QUERY_WORDS = 4  # at most
_WORD = re.compile(r"\w+")


class Question(NamedTuple):
    """A task before it takes one of the forms.

    pieces    what is known, and the question
    target    the item that is right
    show      how an item is named as an answer
    is_right  whether another item would be right as well: such an item is never a negative
    """

    pieces: Pieces
    target: int
    show: Callable[[int], Piece]
    is_right: Callable[[int], bool]


def draw_rows(data: TaskData, tasks: Sequence[Task], count: int, rng: np.random.Generator) -> list[Row]:
    """Draw rows for tasks. The same data, tasks, count and state of the generator give the same rows.

    raises  ValueError if the data have no row for a task
    """
    shares = np.array([SERVED_SHARE * (len(tasks) - 1) / (1 - SERVED_SHARE) if t == SERVED else 1.0 for t in tasks])
    drawn = rng.choice(len(tasks), count, p=shares / shares.sum()) if len(tasks) > 1 else np.zeros(count, np.int64)
    return [draw_row(data, tasks[number], rng) for number in drawn]


def draw_row(data: TaskData, task: Task, rng: np.random.Generator) -> Row:
    """Draw one row. If the data have no negative for it, the row just asks for the answer."""
    question = _ASK[task.kind](data, rng)
    answer = question.show(question.target)
    negatives = [] if task.form == "predict" else _draw_negatives(data, question, rng)
    if not negatives:
        return Row((*question.pieces, "\nAnswer:"), (_write_answer(answer),))
    if task.form == "choose":
        options = [answer, *negatives]
        shuffled = [options[place] for place in rng.permutation(len(options))]
        listed = [piece for option in shuffled for piece in ("\n- ", option)]
        return Row((*question.pieces, "\nIt is one of these:", *listed, "\nAnswer:"), (_write_answer(answer),))
    is_right = bool(rng.random() < 0.5)
    option = answer if is_right else negatives[0]
    return Row((*question.pieces, "\nIs it ", option, "?\nAnswer:"), (" Yes" if is_right else " No",))


def sequence_prompt(items: Sequence[int]) -> Pieces:
    """The prompt that makes a user's list. items: a history, oldest first; it may be empty"""
    return *_sequence(items), "\nAnswer:"


def query_prompt(text: str) -> Pieces:
    """The prompt that finds items for a text."""
    return *_query(text), "\nAnswer:"


def _draw_negatives(data: TaskData, question: Question, rng: np.random.Generator) -> list[Piece]:
    """At most NEGATIVES different answers that are wrong; fewer if the tries find no more."""
    answer = question.show(question.target)
    wrong = [question.show(item) for item in data.draw_items(TRIES, rng) if not question.is_right(item)]
    return [piece for piece in dict.fromkeys(wrong) if piece != answer][:NEGATIVES]


def _write_answer(answer: Piece) -> Piece:
    """The answer as it follows a prompt."""
    return f" {answer}" if isinstance(answer, str) else answer


def _sequence(items: Sequence[int]) -> Pieces:
    if not items:
        return ("A user chose no item yet.\nWhich item does the user choose first?",)
    return "A user chose these items, oldest first: ", *items, "\nWhich item does the user choose next?"


def _query(text: str) -> Pieces:
    return (f"A user searches for {json.dumps(neutralize(text, TITLE), ensure_ascii=False)}.\nWhich item is it?",)


def _ask_sequence(data: TaskData, rng: np.random.Generator) -> Question:
    past = data.draw_past(rng, may_be_empty=True)
    return Question(_sequence(past.items), past.target, int, _build_known_check(data, past))


def _ask_text(data: TaskData, rng: np.random.Generator) -> Question:
    past = data.draw_past(rng, may_be_empty=False)
    titles = "; ".join(data.quoted_title(item) for item in past.items)
    asked = f"A user chose items with these titles, oldest first: {titles}\nWhich item does the user choose next?"
    return Question((asked,), past.target, int, _build_known_check(data, past))


def _ask_preference(data: TaskData, rng: np.random.Generator) -> Question:
    past = data.draw_past(rng, may_be_empty=False)
    asked: Pieces = (
        "A user chose these items, oldest first: ",
        *past.items,
        "\nWhat kind of item does the user prefer now?",
    )
    liked = {data.category(item) for item in (*past.items, past.target)}
    return Question(asked, past.target, data.quoted_category, lambda item: data.category(item) in liked)


def _ask_item_to_codes(data: TaskData, rng: np.random.Generator) -> Question:
    (target,) = data.draw_described(1, rng)
    text = data.texts[target]
    return Question((f"An item: {text}\nWhich item is it?",), target, int, lambda item: data.texts[item] == text)


def _ask_codes_to_item(data: TaskData, rng: np.random.Generator) -> Question:
    (target,) = data.draw_described(1, rng)
    title = data.titles[target]
    asked: Pieces = ("An item: ", target, "\nWhat is its title?")
    return Question(asked, target, data.quoted_title, lambda item: data.titles[item] == title)


def _ask_query(data: TaskData, rng: np.random.Generator) -> Question:
    (target,) = data.draw_described(1, rng)
    words = list(dict.fromkeys(_WORD.findall(data.titles[target].lower()))) or [data.titles[target]]
    size = min(len(words), int(rng.integers(1, QUERY_WORDS + 1)))
    asked = [words[place] for place in sorted(rng.permutation(len(words))[:size])]

    def is_right(item: int) -> bool:
        return item == target or set(asked) <= set(_WORD.findall(data.titles[item].lower()))

    return Question(_query(" ".join(asked)), target, int, is_right)


def _build_known_check(data: TaskData, past: Past) -> Callable[[int], bool]:
    """A function that is true for items that the user knows, and for items with the text of the chosen item."""
    text = data.texts[past.target]
    return lambda item: data.knows(past.user, item) or item == past.target or (data.texts[item] == text != "{}")


_ASK: dict[Kind, Callable[[TaskData, np.random.Generator], Question]] = {
    "sequence": _ask_sequence,
    "item_to_codes": _ask_item_to_codes,
    "codes_to_item": _ask_codes_to_item,
    "text": _ask_text,
    "query": _ask_query,
    "preference": _ask_preference,
}
