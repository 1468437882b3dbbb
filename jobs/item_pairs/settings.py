"""Settings of the tasks that find item pairs, judge them, and ask questions about items."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from jobs.settings.types import Count, Days, Section, Seed


class Pairs(Section):
    window_days: Days = 30
    users_per_item: Count = 40  # caps: work grows with their square
    items_per_user: Count = 100
    pairs_per_item: Count = 10
    alpha: float = Field(default=1.0, gt=0)  # Swing's smoothing


class TwoTower(Section):
    dim: Count = 32
    epochs: Count = 4
    batch: Count = 512
    lr: float = Field(1e-2, gt=0)
    seed: Seed = 0


def _has_host(url: str) -> bool:
    """Whether an address names a host and, if any, a port that there can be."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _endpoint(url: str) -> str:
    if url and not (re.fullmatch(r"https?://[^\s@]+", url) and _has_host(url)):
        raise ValueError("expected an address such as http://127.0.0.1:8000/v1, without a name or key in it")
    return url


class Llm(Section):
    """A language model: in this process, or behind an OpenAI-compatible endpoint, its key in OPENAI_API_KEY."""

    model: str = Field(default="Qwen/Qwen3-0.6B", min_length=1)  # Hugging Face name or folder, or the endpoint's name
    endpoint: Annotated[str, AfterValidator(_endpoint)] = ""  # empty: in this process
    max_new_tokens: Count = 512
    tokens_per_batch: Count = 16_384  # in this process
    concurrency: Count = 16  # requests at a time, and how long one may take
    timeout_seconds: float = Field(default=120, gt=0)


class LargerLlm(Llm):
    model: str = Field(default="Qwen/Qwen3-8B", min_length=1)


class JudgeLlm(Section):
    """A model for each source of pairs (QARM V2: the larger one for the looser pairs)."""

    swing: Llm = Llm()
    two_tower: LargerLlm = LargerLlm()
    reasoning: bool = True  # off: the answer alone


class Judge(Section):
    kind: Literal["similarity", "llm"] = "similarity"
    min_cosine: float = Field(default=0.5, ge=-1, le=1)
    min_cosine_same_category: float = Field(default=0.3, ge=-1, le=1)
    llm: JudgeLlm = JudgeLlm()


class AskLlm(LargerLlm):
    max_new_tokens: Count = 1024


class Ask(Section):
    kind: Literal["template", "llm"] = "template"
    llm: AskLlm = AskLlm()
