"""Askers of questions about items: templates, or a language model."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from jobs.item_pairs.language_model import llm_version, open_llm
from jobs.item_pairs.settings import AskLlm
from jobs.lake import UserError
from jobs.settings.tree import Settings
from models.llm.interface import LanguageModel, UnusableModelError
from models.llm.item_text import item_json
from models.llm.question_prompt import PROMPT_VERSION, Question, ask_prompt, read_questions
from models.llm.question_templates import TEMPLATE_VERSION, template_questions

Item = dict[str, Any]  # a row of silver.items


class Asker(Protocol):
    version: str  # changes whenever a question could change

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        """Yield each item and the questions about it, in any order; None if the answer could not be read."""


@dataclass
class TemplateAsker:
    """Asks only what an item's own fields answer."""

    version: str = TEMPLATE_VERSION

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        for item in items:
            yield item, template_questions(item)


class LlmAsker:
    """Asks a language model, except about an item without title, category and attributes."""

    def __init__(self, settings: AskLlm) -> None:
        self.settings = settings
        self.version = f"llm-{PROMPT_VERSION}-{llm_version(settings)}"
        self.model = cache(self._open)  # opened at the first question

    def _open(self) -> LanguageModel:
        return open_llm(self.settings, "ask.llm")

    def ask(self, items: list[Item]) -> Iterator[tuple[Item, list[Question] | None]]:
        texts = [item_json(item) for item in items]
        yield from ((item, []) for item, text in zip(items, texts, strict=True) if text == "{}")
        with_text = [(item, text) for item, text in zip(items, texts, strict=True) if text != "{}"]
        if not with_text:
            return
        prompts = [ask_prompt(text) for _, text in with_text]
        try:
            for index, reply in self.model().reply(prompts, max_new_tokens=self.settings.max_new_tokens):
                yield with_text[index][0], read_questions(reply.text)
        except UnusableModelError as error:
            raise UserError(f"ask.llm: {error}") from None


def load_asker(settings: Settings) -> Asker:
    """The asker of the settings. A language model is opened when the first question is asked."""
    return LlmAsker(settings.ask.llm) if settings.ask.kind == "llm" else TemplateAsker()
