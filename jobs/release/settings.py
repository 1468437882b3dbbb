"""Settings of the gate: when a challenger may go live."""

from typing import Literal

from pydantic import Field

from jobs.settings.types import Count, Section, Share

EvaluationProtocol = Literal["as_served", "up_to_the_moment"]  # what a model may know of the test rows
SLICE_OF: dict[EvaluationProtocol, str] = {"as_served": "as_served", "up_to_the_moment": "all"}  # in gold.metrics


class Gate(Section):
    """When the challenger may go live."""

    # The metric by which challenger and champion are compared on the day's test rows.
    metric: Literal["auc", "gauc"] = "auc"
    # What both know of these rows. as_served: what happened until the end of the day before, when their lists are made.
    # up_to_the_moment: also what happened on the day before the row.
    protocol: EvaluationProtocol = "as_served"
    # The challenger goes live if the 95 % interval of the metric's difference lies above minus this number. The days
    # since the champion went live count together.
    max_drop: float = Field(default=0.005, ge=0)
    # The challenger is refused if its log loss is higher than the champion's by more than this share: the whole 95 %
    # interval of the difference.
    max_loss_rise: float = Field(default=0.01, ge=0)
    # The challenger is refused if its mean prediction differs from the mean label by more than this share, with its
    # whole 95 % interval, and by more than the champion's.
    max_miscalibration: float = Field(default=0.05, gt=0)
    # Largest share of items that may share their semantic ID with another item.
    max_collision_rate: Share = 0.9
    # Largest share of items that may have the most frequent semantic ID.
    max_bucket_share: Share = 0.5
    # Smallest share of items that must be among the first 10 results when their own semantic ID is looked up.
    min_hr_at_10: Share = 0.1
    # Smallest number of test rows with a known label. A day with fewer changes no model.
    min_test_rows: Count = 100
    # Number of times that users are drawn again for the confidence intervals of `evaluate`.
    bootstrap_rounds: Count = 200
