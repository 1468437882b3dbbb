"""Types that the settings of all stages share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]  # 0 to 1, both included
Days = Annotated[int, Field(ge=1, le=36_500)]  # a number of days
Hours = Annotated[int, Field(ge=1, le=720)]  # a number of hours, at most 30 days
Part = Annotated[float, Field(gt=0, lt=1)]  # a share that is neither nothing nor all
Count = Annotated[int, Field(ge=1, le=10**9)]
Parts = Annotated[int, Field(ge=0, le=100_000)]  # parts of the work for Spark's executors; 0: no executors
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # of random numbers


class Section(BaseModel):
    """One section of the settings, such as `[ranker]`: unknown keys and infinite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
