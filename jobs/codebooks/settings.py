"""Settings of the codebook that gives items their semantic IDs."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.settings.types import Count, Days, Parts, Section, Seed, Share

VectorKind = Literal["text", "behaviour", "text_behaviour"]
LevelSize = Annotated[int, Field(ge=1, le=65_536)]  # number of codes of a level


class Quantizer(Section):
    """Which codebook gives the semantic IDs, how it is fitted, and when it is fitted again."""

    # What semantic IDs are made of. "text": vectors of the encoder; "behaviour": vectors of which users acted on which
    # items (Semantic Convergence, here with LightGCN); "text_behaviour": both in one vector, with the same weight.
    # Another choice is another codebook: all IDs change.
    vectors: VectorKind = "text"
    # Vectors of behaviour are learned from the clicks, purchases and likes of this many days.
    behaviour_days: Days = 180
    # What the codebook is. "res_kmeans_fsq": QARM V2; "res_kmeans": OneRec, QARM V1; "res_kmeans_balanced": the same
    # with a last level whose codes are used about equally often (LC-Rec); "rq_vae": TIGER; "parallel_kmeans":
    # Mixture-of-Codes. Another kind is another codebook: all IDs change.
    kind: Literal["res_kmeans_fsq", "res_kmeans", "res_kmeans_balanced", "rq_vae", "parallel_kmeans"] = "res_kmeans_fsq"
    # Codes of each of the three levels. For "res_kmeans_fsq" the last one must be a power of two, unless fsq_values is
    # set. Fewer codes group more items together; more codes collide less.
    sizes: tuple[LevelSize, LevelSize, LevelSize] = (256, 256, 256)
    # Largest number of iterations for each level of k-means. It stops earlier when no item changes its code.
    kmeans_iterations: Count = 20
    fsq_steps: Count = 600  # training steps of the last level; only for "res_kmeans_fsq"
    # How many values each digit of the last level takes; their product must be the last of sizes. Empty: two values
    # each. Only for "res_kmeans_fsq".
    fsq_values: tuple[Annotated[int, Field(ge=2)], ...] = ()
    rq_vae_steps: Count = 3000  # training steps; only for "rq_vae"
    seed: Seed = 0  # seed of everything that a fit draws at random
    # Encode new items on Spark's executors, in this many parts. 0: in the process of the job. Vectors of behaviour are
    # always encoded in the process.
    spark_parts: Parts = 0
    # Processes that share a fit. 0: one for each GPU of the machine, or a single one without GPUs.
    workers: int = Field(default=0, ge=0)
    # Fit the codebook again when it is this many days old. 0: age does not matter. Whatever the age, a codebook is
    # fitted again when new items no longer suit it; the next three settings say when.
    refit_days: int = Field(default=0, ge=0)
    # New items (those that came after the fit) are compared with the others once there are this many.
    min_new_items: Count = 1000
    # Fit again if the mean rebuild error of the new items is more than this many times that of the others.
    max_error_ratio: float = Field(default=1.5, gt=0)
    # Fit again if more than this share (0 to 1) of the new items have the same ID as another item.
    max_new_collision: Share = 0.5

    @model_validator(mode="after")
    def _check_last_size(self) -> Self:
        last = self.sizes[-1]
        if self.kind != "res_kmeans_fsq":
            return self
        if self.fsq_values and math.prod(self.fsq_values) != last:
            product = " x ".join(map(str, self.fsq_values))
            raise ValueError(f"fsq_values: {product} must give the last of sizes, {last}")
        if not self.fsq_values and (last < 2 or last & (last - 1)):
            raise ValueError(
                "sizes: the last level of res_kmeans_fsq has digits of two values, so its size must be a power of two,"
                " at least 2; or set quantizer.fsq_values to other digits, or choose another kind, which takes any size"
            )
        return self
