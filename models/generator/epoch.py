"""What the generator's training measures after each epoch."""

from dataclasses import dataclass

from models.training import checkpoint


@dataclass(frozen=True)
class Epoch(checkpoint.Epoch):
    """One point of the training curve.

    recall_at_10  share of the validation users whose next item is among the ten best
    ndcg_at_10    mean of 1 / log2(1 + rank) over these users, 0 for ranks beyond ten
    Both are NaN if there are no validation users.
    """

    recall_at_10: float
    ndcg_at_10: float

    @property
    def score(self) -> float:
        """The best epoch has the highest score."""
        return self.recall_at_10 + self.ndcg_at_10
