"""What a language model is given and gives back, and how item text goes into a prompt as data.

Item text is written by strangers. It enters a prompt as one JSON object on one line, in which nothing can be
read as a tag of ours, as a chat template's token or as a line of the prompt.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

TITLE, ATTRIBUTE, NAME, ATTRIBUTES = 200, 120, 40, 800  # characters kept of each, and of all attributes together
_ANGLES = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",  # <answer>, <|im_end|>, </s>, <start_of_turn>
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    }
)
_BRACKETED = re.compile(r"\[(/?\w{2,})\]")  # [INST], [/INST], [gMASK]


class Prompt(NamedTuple):
    system: str
    user: str


class Reply(NamedTuple):
    """text as the model wrote it; seconds it took, those of a batch shared evenly.

    margin  by how many nats the choice taken is likelier than the next one; None if the text was generated
    """

    text: str
    seconds: float
    margin: float | None = None


class Refused(ValueError):
    """The model cannot be used as it is set up; trying again does not help."""


class LanguageModel(Protocol):
    """Answers prompts, deterministically as far as its engine is."""

    def reply(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, choices: Sequence[str] = ()
    ) -> Iterator[tuple[int, Reply]]:
        """The place of a prompt and its reply, as replies come; each place once.

        choices  if given, the reply should be one of these; a model that cannot be held to it writes what it likes
        raises   Refused if the model cannot be used so, ConnectionError if it does not answer; what was answered
                 until then has been given before
        """


def storable(text: str) -> str:
    """Text without halves of surrogate pairs, as a cut emoji leaves in JSON: no table can hold them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def neutral(text: str, limit: int) -> str:
    """Text on one line that holds no tag and no special token, of at most `limit` characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = _BRACKETED.sub(r"(\1)", text.translate(_ANGLES))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def item_json(item: Mapping[str, Any]) -> str:
    """Title, category and attributes of an item as one line of JSON.

    item  title, category (broad to narrow) and attributes (JSON text) as in silver.items; each may be None
    """
    told = {
        "title": neutral(item["title"] or "", TITLE),
        "category": neutral(" / ".join(filter(None, item["category"] or [])), TITLE),
        "attributes": _capped(attribute_texts(item["attributes"])),
    }
    return json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False)


def attribute_texts(attributes: str | None) -> dict[str, str]:
    """The attributes as names and texts; what is no JSON object is one text named `text`."""
    if not attributes:
        return {}
    try:
        found = json.loads(attributes)
        if isinstance(found, dict):
            return {storable(name): storable(told) for name, value in found.items() if (told := _text(value))}
    except (ValueError, RecursionError):
        pass
    return {"text": attributes}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, bool | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _capped(attributes: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    left = ATTRIBUTES
    for name, value in attributes.items():
        name, value = neutral(name, NAME), neutral(value, ATTRIBUTE)
        left -= len(name) + len(value)
        if left < 0:
            break
        kept[name] = value
    return kept
