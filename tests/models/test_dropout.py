"""Dropout on a processor."""

import pytest
import torch

from models.dropout import dropout


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_hidden_and_the_mean_stays(kind: torch.dtype, share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(500, 400, dtype=kind, requires_grad=True)
    y = dropout(x, share, True)
    assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    assert y.float().mean().item() == pytest.approx(1, abs=0.01)
    torch.autograd.backward(y.sum())
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_it_follows_the_seed_and_does_nothing_when_nothing_is_to_be_hidden() -> None:
    x = torch.ones(100)
    torch.manual_seed(1)
    first, second = dropout(x, 0.5, True), dropout(x, 0.5, True)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5, True), first)
    assert not torch.equal(second, first)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True) is x
    assert dropout(torch.ones(0, 4), 0.5, True).shape == (0, 4)
