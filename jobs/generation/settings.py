"""Settings of the generator."""

from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.settings.types import Count, Days, Section, Seed


class LanguageModel(Section):
    """The language model that writes semantic IDs; only for the presets lc_rec and semantic_convergence."""

    # Folder of a causal language model with tokenizer and *.safetensors, as on Hugging Face. Training starts from it.
    model: str = ""
    lora_rank: int = Field(default=8, ge=0, le=4096)  # rank of LoRA adapters; 0: train all weights
    steps: Count = 200  # training steps of an epoch
    rows: Count = 64  # training rows of a step, of all workers together
    tokens_per_batch: Count = 8192  # tokens computed at once, with padding; a smaller number needs less memory
    lr: float = Field(default=5e-4, gt=0, le=1)  # peak learning rate; with lora_rank = 0, a tenth of it is usual


# The names of the presets are repeated in this file: importing them would load PyTorch in every job.
class Generator(Section):
    """The lists that `generate` makes ahead of time for every active user. `recommend` ranks their items."""

    # What makes the lists. graph: the item graph, which items follow which in the histories. It needs no training.
    # The others are trained every day and make lists beside the graph, if they find at least as much as the graph and
    # the generator that is live.
    # sidereal: predicts semantic IDs and items from IDs, texts and words. sasrec: predicts items from IDs. tiger and
    # rpg: predict semantic IDs from semantic IDs, code by code or all codes at once. lc_rec and semantic_convergence: a
    # language model writes semantic IDs; see [generator.language_model].
    preset: Literal["graph", "sidereal", "sasrec", "tiger", "rpg", "lc_rec", "semantic_convergence"] = "sidereal"
    # What the generator knows of an item. Not set: as in the preset. This option and the next two are not for graph and
    # language models.
    inputs: tuple[Literal["id", "text", "words", "codes"], ...] | None = None
    # What the generator predicts: the next item, its codes one after another, or all its codes at once. The first of
    # them chooses the best epoch and makes the lists. Not set: as in the preset.
    heads: tuple[Literal["items", "codes", "parallel"], ...] | None = None
    # What the heads see of a history: its last state, or all its states (only for the head codes). Not set: as in the
    # preset.
    backbone: Literal["causal", "encoder_decoder"] | None = None
    # The item graph of a day holds the pairs of this many days.
    graph_days: Days = 180
    # Largest number of items in a user's list.
    k: int = Field(default=50, ge=1, le=10_000)
    # Number of prefixes of semantic IDs that the search for a user's list keeps, at least k. Wider is slower.
    beam: int = Field(default=64, ge=1, le=10_000)
    # A generator is trained on what users did in this many days before the day.
    train_days: Days = 180
    # Largest number of epochs of the training.
    epochs: int = Field(default=30, ge=1, le=10_000)
    # Events in a batch; not for language models.
    tokens: int = Field(default=2048, ge=2, le=10_000_000)
    # Items that a batch compares the next items with, drawn at random; not for language models.
    negatives: int = Field(default=2048, ge=1, le=10_000_000)
    # Learning rate; not for language models.
    lr: float = Field(1e-3, gt=0, le=1)
    # Number of users whose next item chooses the best epoch. As many others decide whether the generator goes live.
    valid_users: Count = 2000
    # Training stops when this many epochs in a row were not better than the best one before them.
    patience: Count = 2
    # Start from the latest generator that was live. false: start from random weights every day.
    warm_start: bool = True
    # Number of worker processes that share every batch and make the lists. 0: one for each GPU, or one without a GPU.
    workers: int = Field(default=0, ge=0, le=4096)
    # Seed of the initial weights, of the order of histories and of the negatives.
    seed: Seed = 0
    language_model: LanguageModel = LanguageModel()

    @property
    def is_language_model(self) -> bool:
        """Whether a language model makes the lists."""
        return self.preset in ("lc_rec", "semantic_convergence")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.is_language_model and not self.language_model.model:
            raise ValueError(f"language_model.model: the preset {self.preset} needs the folder of a language model")
        for name, values in (("inputs", self.inputs), ("heads", self.heads)):
            if values is not None and len(set(values)) < max(len(values), 1):
                raise ValueError(f"{name}: name at least one, and each only once")
        design = {"inputs": self.inputs, "heads": self.heads, "backbone": self.backbone}
        if (self.is_language_model or self.preset == "graph") and (given := [n for n, v in design.items() if v]):
            raise ValueError(f"{given[0]}: the preset {self.preset} has no such option")
        predicts_codes = "codes" in self.heads if self.heads else self.preset in ("sidereal", "tiger")
        if (
            self.backbone or ("encoder_decoder" if self.preset == "tiger" else "causal")
        ) != "causal" and not predicts_codes:
            raise ValueError("backbone: encoder_decoder is only for the head codes")
        writes_codes = predicts_codes and (self.heads or ("codes",))[0] == "codes"
        if (writes_codes or self.is_language_model) and self.beam < self.k:
            raise ValueError(f"beam: {self.beam} prefixes lead to fewer than k = {self.k} items: raise beam or lower k")
        return self
