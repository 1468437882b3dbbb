"""How the text of an item enters a prompt as data.

Strangers write item texts. A text enters a prompt as one JSON object on one line. Nothing in it can be read as one of
our tags, as a token of a chat template or as a line of the prompt.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

# Characters that are kept of a title, an attribute's value, an attribute's name, and of all attributes together.
TITLE, ATTRIBUTE, NAME, ATTRIBUTES = 200, 120, 40, 800
_ANGLES = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",  # <answer>, <|im_end|>, </s>, <start_of_turn>
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    }
)
_BRACKETED = re.compile(r"\[(/?\w{2,})\]")  # [INST], [/INST], [gMASK]


def make_storable(text: str) -> str:
    """Replace halves of surrogate pairs, which a cut emoji leaves in JSON: no table can store them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def neutralize(text: str, limit: int) -> str:
    """Put a text on one line without tags and special tokens, and cut it to `limit` characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = _BRACKETED.sub(r"(\1)", text.translate(_ANGLES))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def item_json(item: Mapping[str, Any]) -> str:
    """Title, category and attributes of an item as one line of JSON.

    item  title, category (broad to narrow) and attributes (JSON text) as in silver.items; each may be None
    """
    fields = {
        "title": neutralize(item["title"] or "", TITLE),
        "category": neutralize(" / ".join(filter(None, item["category"] or [])), TITLE),
        "attributes": _limit_attributes(attribute_texts(item["attributes"])),
    }
    return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


def attribute_texts(attributes: str | None) -> dict[str, str]:
    """The attributes as names and texts; a text that is not a JSON object becomes one attribute named `text`."""
    if not attributes:
        return {}
    try:
        values = json.loads(attributes)
        if isinstance(values, dict):
            return {
                make_storable(name): make_storable(text) for name, value in values.items() if (text := _text(value))
            }
    except (ValueError, RecursionError):
        pass
    return {"text": attributes}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, bool | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _limit_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """The first attributes that have ATTRIBUTES characters together, each of them cut."""
    kept: dict[str, str] = {}
    left = ATTRIBUTES
    for name, value in attributes.items():
        name, value = neutralize(name, NAME), neutralize(value, ATTRIBUTE)
        left -= len(name) + len(value)
        if left < 0:
            break
        kept[name] = value
    return kept
