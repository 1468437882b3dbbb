"""Settings of the codebook that gives items their semantic IDs."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.settings.types import Count, Parts, Section, Seed, Share, Size


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
