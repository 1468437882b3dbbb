"""Questions about an item by templates, answered from the item's own fields: no language model is needed."""

from collections.abc import Mapping
from typing import Any

from models.llm.item_text import attribute_texts
from models.llm.question_prompt import MOST_QUESTIONS, Question, has_good_length

TEMPLATE_VERSION = "template-1"  # increase it with every change of the templates


def template_questions(item: Mapping[str, Any]) -> list[Question]:
    """At most ten questions that the item's own fields answer. An item with few fields gets fewer, or none.

    item  title, category (broad to narrow), attributes (JSON text), price and description as in silver.items;
          each may be None
    """
    title, category = item["title"] or "", [level for level in item["category"] or [] if level]
    questions = []
    if category:
        questions.append(Question("What is the category of the item?", category[-1]))
    if len(category) > 1:
        questions.append(Question("What is the broadest category of the item?", category[0]))
    if title:
        questions.append(Question("What is the item called?", title))
    attributes = {name: value for name, value in attribute_texts(item["attributes"]).items() if name != "text"}
    for name in sorted(attributes, key=lambda name: (name.lower() != "brand", name)):
        questions.append(Question(f"Which {_spell_out(name)} does the item have?", attributes[name]))
    if item["price"] and item["price"] > 0:
        low, high = price_band(item["price"])
        questions.append(Question("In which price band is the item?", f"from {low:g} to {high:g}"))
    if len(category) > 2:
        questions.append(Question("Where in the catalogue is the item?", " / ".join(category)))
    if len(words := _distinct_words(title)) > 1:
        questions.append(Question("Which words stand in the title of the item?", ", ".join(words)))
    if first := (item["description"] or "").split(". ")[0]:
        questions.append(Question("How is the item described?", first.rstrip(".")))
    tidy = [Question(" ".join(q.split()), " ".join(a.split())) for q, a in questions]
    return list(filter(has_good_length, tidy))[:MOST_QUESTIONS]


def price_band(price: float) -> tuple[float, float]:
    """The band that contains a price above 0, between two limits of 1, 2, 5, 10, 20, ...; it includes the lower one."""
    limits = [float(f"{digit}e{power}") for power in range(-3, 10) for digit in (1, 2, 5)]
    low = max((limit for limit in limits if limit <= price), default=0.0)
    return low, min((limit for limit in limits if limit > price), default=float("inf"))


def _spell_out(name: str) -> str:
    """An attribute's name as words."""
    return name.replace("_", " ").strip()


def _distinct_words(title: str) -> list[str]:
    """The different words of a title, in its order."""
    return list(dict.fromkeys(word for word in title.lower().split() if word.isalpha()))
