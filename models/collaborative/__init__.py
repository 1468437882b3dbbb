"""Item vectors from behaviour: which users acted on which items, without a word of the items' texts."""

from models.collaborative.combination import Combination, combine
from models.collaborative.training import BehaviourVectors, fit

__all__ = ["BehaviourVectors", "Combination", "combine", "fit"]
