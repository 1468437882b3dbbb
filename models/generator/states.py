"""What a model knows of histories after it read them."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class States:
    """States of n histories, each read up to some event.

    last     [n, dim] the state after the last event
    history  [sequences, columns, dim] the states after each event, for the backbone `encoder_decoder`; else None
    rows     [n] int64, the sequence of each, ascending
    visible  [n] int64, how many columns of its sequence each may see
    """

    last: Tensor
    history: Tensor | None
    rows: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.last)

    def take(self, places: Tensor) -> "States":
        """The states at places [m], which ascend; a place may occur several times."""
        return States(F.embedding(places, self.last), self.history, self.rows[places], self.visible[places])
