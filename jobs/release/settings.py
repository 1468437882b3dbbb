"""Settings of the gate: when a challenger may go live."""

from typing import Literal

from pydantic import Field

from jobs.settings.types import Count, Section, Share


class Gate(Section):
    """When the challenger may go live."""

    metric: Literal["auc", "gauc"] = "auc"
    max_drop: float = Field(default=0.0, ge=0)  # promoted if better than the champion by more than minus this
    max_collision_rate: Share = 0.9
    max_bucket_share: Share = 0.5  # of the items behind the fullest semantic ID
    min_hr_at_10: Share = 0.1  # of looking an item's own semantic ID up
    min_test_rows: Count = 100
    bootstrap_rounds: Count = 200
