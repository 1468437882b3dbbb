"""The judges: similarity of embeddings, or a language model for each source of pairs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.encoders.location import encoder_version
from jobs.encoders.vectors import current_vectors
from jobs.item_pairs.language_model import llm_version, open_llm
from jobs.item_pairs.settings import Llm
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings
from models.llm import judge_prompt as asking
from models.llm.interface import LanguageModel, UnusableModelError
from models.llm.item_text import item_json

Pair = tuple[str, str]


class Verdict(NamedTuple):
    """lasting  no: the judge could not read the items, and is asked again when they may be known"""

    verdict: str  # yes, no or unsure
    reason: str
    seconds: float | None = None
    lasting: bool = True


class Judge(Protocol):
    """Says of item pairs whether they belong together."""

    @property
    def version(self) -> str:
        """Changes whenever a verdict could."""

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        """One verdict for each pair, as they come."""


@dataclass(frozen=True)
class SimilarityJudge:
    """Yes if the texts' embeddings are close, or fairly close within a category."""

    version: str
    rows: dict[str, int]  # item -> row of vectors
    vectors: NDArray[np.float32]  # [items, dim], unit length
    categories: dict[str, str]  # item -> its broadest category
    min_cosine: float
    min_cosine_same_category: float

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        for a, b in pairs:
            missing = [item for item in (a, b) if item not in self.rows]
            if missing:
                yield (a, b), Verdict("unsure", f"no embedding of {' and '.join(missing)}", lasting=False)
                continue
            cosine = float(self.vectors[self.rows[a]] @ self.vectors[self.rows[b]])
            yield (a, b), self._verdict(cosine, self.categories.get(a), self.categories.get(b))

    def _verdict(self, cosine: float, a: str | None, b: str | None) -> Verdict:
        same = a is not None and a == b
        least = min(self.min_cosine, self.min_cosine_same_category) if same else self.min_cosine
        where = f"both in {a}" if same else f"in {a} and {b}" if a and b else "category unknown"
        return Verdict("yes" if cosine >= least else "no", f"cosine {cosine:.2f}, {where}")


@dataclass(frozen=True)
class LlmJudge:
    """What a language model says of the two items' texts."""

    version: str
    texts: Callable[[set[str]], dict[str, str]]  # of the items that have any
    model: Callable[[], LanguageModel]  # opened at the first question
    reasoning: bool
    max_new_tokens: int

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        texts = self.texts({item for pair in pairs for item in pair})
        readable = []
        for pair in pairs:
            missing = [item for item in pair if item not in texts]
            if missing:
                yield pair, Verdict("unsure", f"no text of {' and '.join(missing)}", lasting=False)
            else:
                readable.append(pair)
        if not readable:
            return
        prompts = [asking.judge_prompt(texts[a], texts[b], reasoning=self.reasoning) for a, b in readable]
        choices = () if self.reasoning else asking.CHOICES
        try:
            for place, reply in self.model().reply(prompts, max_new_tokens=self.max_new_tokens, choices=choices):
                verdict, reason = asking.read_answer(reply.text)
                if reply.margin is not None:
                    reason = f"likelier than the other answer by {reply.margin:.2f} nats"
                yield readable[place], Verdict(verdict, reason, reply.seconds)
        except UnusableModelError as error:
            raise UserError(f"judge.llm: {error}") from None


def load_judges(lake: Lake, settings: Settings, sources: list[str]) -> dict[str, Judge]:
    """The judge of each source of pairs, with the catalogue as it is now.

    raises  UserError if the settings name no judge for a source
    """
    if settings.judge.kind == "similarity":
        return dict.fromkeys(sources, similarity_judge(lake, settings))
    models: dict[str, Llm] = {"swing": settings.judge.llm.swing, "two_tower": settings.judge.llm.two_tower}
    if unknown := sorted(set(sources) - models.keys()):
        raise UserError(f"judge.llm names no model for pairs from {', '.join(unknown)}")
    return {source: llm_judge(lake, models[source], source, settings.judge.llm.reasoning) for source in sources}


def similarity_judge(lake: Lake, settings: Settings) -> SimilarityJudge:
    limits, encoder = settings.judge, encoder_version(settings.encoder)
    items, vectors = current_vectors(lake, encoder)
    has_category = pc.list_value_length(ds.field("category")) > 0
    broadest = lake.arrow("silver.items", ["item_id", "category"], has_category)
    firsts = pc.list_element(broadest["category"], 0) if broadest.num_rows else pa.array([], pa.string())
    return SimilarityJudge(
        version=f"similarity-{limits.min_cosine:g}-{limits.min_cosine_same_category:g}-{encoder}",
        rows={item: row for row, item in enumerate(items)},
        vectors=vectors,
        categories=dict(zip(broadest["item_id"].to_pylist(), firsts.to_pylist(), strict=True)),
        min_cosine=limits.min_cosine,
        min_cosine_same_category=limits.min_cosine_same_category,
    )


def llm_judge(lake: Lake, settings: Llm, source: str, reasoning: bool) -> LlmJudge:
    mode = "reasoning" if reasoning else "short"
    return LlmJudge(
        version=f"llm-{asking.PROMPT_VERSION}-{mode}-{llm_version(settings)}",
        texts=lambda items: item_texts(lake, items),
        model=cache(lambda: open_llm(settings, f"judge.llm.{source}")),
        reasoning=reasoning,
        max_new_tokens=settings.max_new_tokens if reasoning else 16,
    )


def item_texts(lake: Lake, items: set[str]) -> dict[str, str]:
    """What a judge reads of the items that have a title, a category or attributes."""
    columns = ["item_id", "title", "category", "attributes"]
    rows: list[dict[str, Any]] = lake.arrow(
        "silver.items", columns, ds.field("item_id").isin(sorted(items))
    ).to_pylist()
    texts = {row["item_id"]: item_json(row) for row in rows}
    return {item: text for item, text in texts.items() if text != "{}"}
