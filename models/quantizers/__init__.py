"""From item vectors to semantic IDs, and how good those IDs are."""

from models.quantizers.codebook import Codebook
from models.quantizers.health import collisions, health, rebuild_errors
from models.quantizers.registry import KINDS, fit, from_rows
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ, sid_text

__all__ = [
    "KINDS", "Codebook", "ResKmeansFSQ", "collisions", "fit", "from_rows", "health", "rebuild_errors", "sid_text",
]  # fmt: skip
