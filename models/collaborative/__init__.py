"""Item vectors from behaviour: which users acted on which items, without a word of the items' texts."""

from models.collaborative.combination import Combination, combine
from models.collaborative.training import BehaviourVectors, fit
from models.collaborative.warm_start import turn_onto

__all__ = ["BehaviourVectors", "Combination", "combine", "fit", "turn_onto"]
