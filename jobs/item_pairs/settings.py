"""Settings of the tasks that find item pairs, judge them, and ask questions about items."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from jobs.settings.types import Count, Days, Section, Seed


class Pairs(Section):
    """Which events and how many of them the search for item pairs uses."""

    # Days of events in which pairs are found, up to and including the day of the run. The encoder is tuned on the pairs
    # of the same number of days.
    window_days: Days = 30
    users_per_item: Count = 40  # largest number of users of an item that Swing reads; work grows with its square
    items_per_user: Count = 100  # largest number of a user's latest items that Swing reads; work grows with its square
    pairs_per_item: Count = 10  # pairs that each item keeps from each source, those with the highest scores
    # Swing's smoothing: the larger it is, the less it matters how many items two users have in common.
    alpha: float = Field(default=1.0, gt=0)


class TwoTower(Section):
    """The two-tower model that finds item pairs."""

    dim: Count = 32  # numbers in a vector of a user or an item
    epochs: Count = 4  # passes over the training rows
    batch: Count = 512  # training rows in a step; an item's negatives are the other items of its batch
    lr: float = Field(1e-2, gt=0)  # learning rate
    seed: Seed = 0  # seed of the initial weights and of the order of the rows


def _has_host(url: str) -> bool:
    """Whether an address names a host and no impossible port."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_endpoint(url: str) -> str:
    if url and not (re.fullmatch(r"https?://[^\s@]+", url) and _has_host(url)):
        raise ValueError("expected an address such as http://127.0.0.1:8000/v1, without a name or key in it")
    return url


class Llm(Section):
    """A language model in this process, or behind an OpenAI-compatible endpoint with its key in OPENAI_API_KEY."""

    # Hugging Face name or folder of the model; with an endpoint, the name that the endpoint knows.
    model: str = Field(default="Qwen/Qwen3-0.6B", min_length=1)
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] = ""  # address of the service; empty: in this process
    max_new_tokens: Count = 512  # tokens that a reply may have; a longer reply is cut
    tokens_per_batch: Count = 16_384  # tokens computed at once, with padding; only in this process
    concurrency: Count = 16  # requests at a time; only with an endpoint
    timeout_seconds: float = Field(default=120, gt=0)  # seconds to wait for one reply; only with an endpoint


class LargerLlm(Llm):
    """The same settings as [judge.llm.swing], with a larger model as the default."""

    # Hugging Face name or folder of the model; with an endpoint, the name that the endpoint knows.
    model: str = Field(default="Qwen/Qwen3-8B", min_length=1)


class JudgeLlm(Section):
    """A language model for each source of pairs. As in QARM V2, the larger one judges the less certain pairs."""

    swing: Llm = Llm()  # judges the pairs that Swing finds
    two_tower: LargerLlm = LargerLlm()  # judges the pairs that the two-tower model finds
    reasoning: bool = True  # give reasons before the answer; false: the answer alone, which is faster


class Judge(Section):
    """The judge that decides whether the items of a pair belong together."""

    kind: Literal["similarity", "llm"] = "similarity"  # similarity: compare text vectors; llm: ask a language model
    min_cosine: float = Field(default=0.5, ge=-1, le=1)  # similarity judge: at this cosine or above, the verdict is yes
    # Similarity judge: the same limit for two items of the same broadest category; the lower one of the two counts.
    min_cosine_same_category: float = Field(default=0.3, ge=-1, le=1)
    llm: JudgeLlm = JudgeLlm()  # the language models; only with kind = "llm"


class AskLlm(LargerLlm):
    """The language model that writes questions about items."""

    max_new_tokens: Count = 1024  # tokens that a reply may have; a longer reply is cut


class Ask(Section):
    """What writes the questions about items. The encoder is tuned on the questions and their answers."""

    # template: templates write the questions from the item's own fields. llm: a language model writes them.
    kind: Literal["template", "llm"] = "template"
    llm: AskLlm = AskLlm()  # the language model; only with kind = "llm"
