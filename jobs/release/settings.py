"""Settings of the gate: when a challenger may go live."""

from typing import Literal

from pydantic import Field

from jobs.settings.types import Count, Section, Share


class Gate(Section):
    """When the challenger may go live."""

    # The metric by which challenger and champion are compared on the day's test rows.
    metric: Literal["auc", "gauc"] = "auc"
    # The challenger goes live if its metric is above the champion's metric minus this number. 0: it must be better.
    max_drop: float = Field(default=0.0, ge=0)
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
