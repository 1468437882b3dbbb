"""The gate looks at the semantic IDs, too."""

import pytest
from lake_rows import DAY, put_metrics

from jobs.gate import decide
from jobs.lake import Lake
from jobs.metrics import metric_rows, write_metrics
from jobs.settings import Settings

HEALTHY = {"collision_rate": 0.01, "bucket_share": 0.001, "hr_at_10": 0.99}


@pytest.mark.parametrize(
    ("metric", "value", "setting"),
    [
        ("collision_rate", 0.95, "gate.max_collision_rate"),
        ("bucket_share", 0.6, "gate.max_bucket_share"),
        ("hr_at_10", 0.05, "gate.min_hr_at_10"),
    ],
)
def test_ids_beyond_a_threshold_keep_the_challenger_back(
    lake: Lake, settings: Settings, metric: str, value: float, setting: str
) -> None:
    put_metrics(lake, DAY, champion=False)
    write_metrics(lake, "quantize", DAY, metric_rows("codebook", "all", HEALTHY, version="cb1"))
    assert decide(lake, settings, DAY).kind == "promote"
    write_metrics(lake, "quantize", DAY, metric_rows("codebook", "all", HEALTHY | {metric: value}, version="cb1"))
    decision = decide(lake, settings, DAY)
    assert decision.kind == "none"
    assert setting in decision.reason
