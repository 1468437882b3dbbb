"""What attention computes, against numbers by hand: two events, four heads of four numbers each."""

from math import exp

import pytest
import torch
from torch import Tensor

from models.ranker.attention import HEADS, Seen, TargetAttention
from models.ranker.design import Attention

SIMS = (0.4, -0.2)  # of the two events; a third place is padding
MIX = [[2.0, 3.0, 0.5]] * 3 + [[0.0, 1.0, 0.0]]
NOTHING = (0.0, 0.0, 0.0, 1.0)
TOLD = (0.1, 0.2, 0.3, 0.4)  # of the first event; nothing is told of the other

# Query and target give 1, 2, 0 and -1, matrix and bias of the key 0.5 and -0.5: a = 4 q k / 2, of heads of 4 numbers.
PRODUCTS = [(1.0, -1.0), (2.0, -2.0), (0.0, 0.0), (-1.0, 1.0)]
TOLD_PRODUCTS = [(1.2, -1.0), (2.8, -2.0), (0.0, 0.0), (-1.8, 1.0)]  # 4 q 0.1 / 2 = 0.2 more, ...
# g1 a + g2 s + g3 a s: 2 * 1 + 3 * 0.4 + 0.5 * 1 * 0.4 = 3.4, ...; the last head looks at s alone
MIXED = [(3.4, -2.5), (5.6, -4.4), (1.2, -0.6), (0.4, -0.2)]
TOLD_MIXED = [(3.84, -2.5), (7.36, -4.4), (1.2, -0.6), (0.4, -0.2)]
CUT = [(0.5, 0.0), (1.0, 0.0), (0.0, 0.0), (0.0, 0.5)]  # over the root of the four events there may be
TOLD_CUT = [(0.6, 0.0), (1.4, 0.0), (0.0, 0.0), (0.0, 0.5)]


def of_heads(*values: float) -> Tensor:
    """[16]: what each head has in all its places."""
    return torch.tensor(values, dtype=torch.float32).repeat_interleave(4)


def attention(kind: Attention) -> TargetAttention:
    made = TargetAttention(16, kind, 4)
    with torch.no_grad():
        for linear, bias in ((made.query, 1.0), (made.key, 0.25)):
            linear.weight.copy_(torch.eye(16))
            linear.bias.fill_(bias)
        made.nothing.copy_(torch.tensor(NOTHING))
        if made.mix is not None:
            made.mix.copy_(torch.tensor(MIX))
    return made


def seen(told: bool) -> Seen:
    target, items = of_heads(0, 1, -1, -2), torch.stack([of_heads(*[0.25] * 4), of_heads(*[-0.75] * 4)])
    beside = torch.stack([of_heads(*TOLD), torch.zeros(16), torch.full((16,), 9.0)])
    padding = torch.tensor([[False, False, True]])
    sims = torch.tensor([[*SIMS, 1.0]])
    return Seen(target[None], items, torch.tensor([[0, 1, 0]]), beside[None] if told else None, sims, padding)


def softmax(scores: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Beside what weighs if nothing is of interest."""
    sums = [exp(none) + exp(a) + exp(b) for none, (a, b) in zip(NOTHING, scores, strict=True)]
    return [(exp(a) / whole, exp(b) / whole) for whole, (a, b) in zip(sums, scores, strict=True)]


@pytest.mark.parametrize(
    ("kind", "told", "shares"),
    [
        ("target", False, softmax(PRODUCTS)), ("target", True, softmax(TOLD_PRODUCTS)),
        ("semantic", False, softmax(MIXED)), ("semantic", True, softmax(TOLD_MIXED)),
        ("quadratic", False, CUT), ("quadratic", True, TOLD_CUT),
    ],
)  # fmt: skip
def test_each_head_weighs_events_and_adds_them_up_as_by_hand(
    kind: Attention, told: bool, shares: list[tuple[float, float]]
) -> None:
    with torch.no_grad():
        given, made = seen(told), attention(kind)
        torch.testing.assert_close(made.shares(given)[0, :, :2], torch.tensor(shares))
        assert (made.shares(given)[0, :, 2] == 0).all()  # padding
        beside = TOLD if told else (0.0,) * HEADS
        summed = [a * (0.25 + more) - 0.75 * b for (a, b), more in zip(shares, beside, strict=True)]
        torch.testing.assert_close(made(given)[0], of_heads(*summed))


def test_semantic_attention_starts_as_the_product_and_the_similarity_added() -> None:
    mix = TargetAttention(16, "semantic", 4).mix
    assert mix is not None
    assert mix.tolist() == [[1, 1, 0]] * HEADS
