"""The language model as judge: it reads the texts of both items and says whether they belong together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow.dataset as ds

from jobs.item_pairs.language_model import llm_version, open_llm
from jobs.item_pairs.settings import Llm
from jobs.item_pairs.verdicts import Pair, Verdict
from jobs.lake import Lake, UserError
from models.llm.interface import LanguageModel, UnusableModelError
from models.llm.item_text import item_json
from models.llm.judge_prompt import CHOICES, PROMPT_VERSION, judge_prompt, read_answer

SHORT_ANSWER_TOKENS = 16  # enough for an answer without reasoning


@dataclass(frozen=True)
class LlmJudge:
    """Asks a language model about each pair.

    load_texts  item ids -> the text of each item that has one
    open_model  called at the first question
    reasoning   whether the model gives its reasons before the answer
    """

    version: str
    load_texts: Callable[[set[str]], dict[str, str]]
    open_model: Callable[[], LanguageModel]
    reasoning: bool
    max_new_tokens: int

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        texts = self.load_texts({item for pair in pairs for item in pair})
        readable = []
        for pair in pairs:
            missing = [item for item in pair if item not in texts]
            if missing:
                yield pair, Verdict("unsure", f"no text of {' and '.join(missing)}", is_final=False)
            else:
                readable.append(pair)
        if not readable:
            return
        prompts = [judge_prompt(texts[a], texts[b], reasoning=self.reasoning) for a, b in readable]
        choices = () if self.reasoning else CHOICES
        try:
            replies = self.open_model().reply(prompts, max_new_tokens=self.max_new_tokens, choices=choices)
            for index, reply in replies:
                verdict, reason = read_answer(reply.text)
                if reply.margin is not None:
                    reason = f"likelier than the other answer by {reply.margin:.2f} nats"
                yield readable[index], Verdict(verdict, reason, reply.seconds)
        except UnusableModelError as error:
            raise UserError(f"judge.llm: {error}") from None


def load_llm_judge(lake: Lake, settings: Llm, source: str, reasoning: bool) -> LlmJudge:
    """The judge of a source of pairs. Its model is opened at the first question."""
    mode = "reasoning" if reasoning else "short"
    return LlmJudge(
        version=f"llm-{PROMPT_VERSION}-{mode}-{llm_version(settings)}",
        load_texts=lambda items: load_item_texts(lake, items),
        open_model=cache(lambda: open_llm(settings, f"judge.llm.{source}")),
        reasoning=reasoning,
        max_new_tokens=settings.max_new_tokens if reasoning else SHORT_ANSWER_TOKENS,
    )


def load_item_texts(lake: Lake, items: set[str]) -> dict[str, str]:
    """The JSON texts of the items that have a title, a category or attributes."""
    columns = ["item_id", "title", "category", "attributes"]
    rows: list[dict[str, Any]] = lake.arrow(
        "silver.items", columns, ds.field("item_id").isin(sorted(items))
    ).to_pylist()
    texts = {row["item_id"]: item_json(row) for row in rows}
    return {item: text for item, text in texts.items() if text != "{}"}
