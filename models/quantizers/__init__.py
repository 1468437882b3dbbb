"""From item vectors to semantic IDs, and how good those IDs are."""

from models.quantizers.health import health
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ, sid_text

__all__ = ["ResKmeansFSQ", "health", "sid_text"]
