"""From item vectors to semantic IDs, and how good those IDs are."""

from models.quantizers.codebook import Codebook
from models.quantizers.health import measure_collisions, measure_health, measure_rebuild_errors
from models.quantizers.registry import KINDS, fit, from_rows
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ, format_sids

__all__ = [
    "KINDS", "Codebook", "ResKmeansFSQ", "fit", "format_sids", "from_rows", "measure_collisions", "measure_health",
    "measure_rebuild_errors",
]  # fmt: skip
