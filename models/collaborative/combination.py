"""One vector for an item from its text and from behaviour.

Both parts are centred and divided by one number each, so that both have the same mean square distance from their mean.
K-means looks at squared distances, so each part then counts as its share says, whatever its length or number of
dimensions was. The parts are not whitened: whitening would raise directions with almost no variance, which are mostly
noise, to the height of the first ones.

An item without behaviour gets the behaviour that its text predicts (ridge regression), stretched to the usual length:
a prediction of unsure things is short, and short vectors of all kinds of items would meet in the same bucket.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the ridge, times the mean variance of the text's directions
BEHAVIOUR_SHARE = 0.5


@dataclass(frozen=True)
class Combination:
    """How two parts become one vector. Items that arrive later get vectors in the same space.

    text_mean [text dim], behaviour_mean [dim]
    text_scale, behaviour_scale  what a centred part is multiplied by
    weights   [text dim, dim] predict the centred behaviour from the centred text
    length    of a centred behaviour vector, root mean square
    """

    text_mean: Tensor
    behaviour_mean: Tensor
    text_scale: float
    behaviour_scale: float
    weights: Tensor
    length: float

    @classmethod
    def fit(
        cls, text: Tensor, behaviour: Tensor, has_behaviour: Tensor, *, behaviour_share: float = BEHAVIOUR_SHARE
    ) -> "Combination":
        """Learn from the items that have both parts.

        text             [items, text dim] float32
        behaviour        [items, dim] float32, as `models.collaborative.fit` gives them
        has_behaviour    [items] bool
        behaviour_share  what share of the mean square distance between items comes from behaviour
        raises           ValueError if fewer than two items have behaviour or a part has no variance
        """
        if int(has_behaviour.sum()) < 2:
            raise ValueError("fewer than two items have behaviour: there is nothing to combine the text with")
        x, y = text[has_behaviour].double(), behaviour[has_behaviour].double()
        text_mean, behaviour_mean = x.mean(dim=0), y.mean(dim=0)
        x, y = x - text_mean, y - behaviour_mean
        lengths = [float(part.square().sum(dim=1).mean().sqrt()) for part in (x, y)]
        if min(lengths) == 0:
            raise ValueError("the text vectors or the behaviour vectors of all items are equal")
        return cls(
            text_mean,
            behaviour_mean,
            (1 - behaviour_share) ** 0.5 / lengths[0],
            behaviour_share**0.5 / lengths[1],
            _fit_ridge(x, y),
            lengths[1],
        )

    def apply(self, text: Tensor, behaviour: Tensor, has_behaviour: Tensor) -> Tensor:
        """Vectors [items, text dim + dim] float32 of items with the same parts as in `fit`."""
        centred_text = text.double() - self.text_mean
        predicted = centred_text @ self.weights
        predicted = predicted * (self.length / predicted.norm(dim=1, keepdim=True).clamp(min=1e-12))
        centred = torch.where(has_behaviour.unsqueeze(1), behaviour.double() - self.behaviour_mean, predicted)
        return torch.cat([centred_text * self.text_scale, centred * self.behaviour_scale], dim=1).float()


def combine(text: Tensor, behaviour: Tensor, has_behaviour: Tensor) -> Tensor:
    """Vectors [items, text dim + dim] float32 of text and behaviour, both with the same weight.

    raises  ValueError as `Combination.fit`
    """
    return Combination.fit(text, behaviour, has_behaviour).apply(text, behaviour, has_behaviour)


def _fit_ridge(x: Tensor, y: Tensor) -> Tensor:
    """Weights [in, out] with the penalty that predicts left-out rows best (generalised cross-validation).

    x, y  [rows, in] and [rows, out] float64, centred
    """
    variances, axes = torch.linalg.eigh(x.T @ x)
    variances = variances.clamp(min=0)
    projected = axes.T @ (x.T @ y)
    best, best_error = projected, torch.inf
    for penalty in PENALTIES:
        added = penalty * float(variances.mean())
        candidate = projected / (variances + added).unsqueeze(1)
        freedom = float((variances / (variances + added)).sum()) + 1  # the mean is one more
        error = float((y - x @ (axes @ candidate)).square().sum()) / (1 - min(freedom / len(x), 0.999)) ** 2
        if error < best_error:
            best, best_error = candidate, error
    weights: Tensor = axes @ best
    return weights
