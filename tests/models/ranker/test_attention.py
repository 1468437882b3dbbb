"""Attention against numbers computed by hand: two events, four heads of four numbers each."""

from math import exp

import pytest
import torch
from torch import Tensor

from models.ranker.attention import HEADS, AttentionInput, TargetAttention
from models.ranker.design import Attention

SIMS = (0.4, -0.2)  # of the two events; a third place is padding
MIX = [[2.0, 3.0, 0.5]] * 3 + [[0.0, 1.0, 0.0]]
NOTHING = (0.0, 0.0, 0.0, 1.0)
FEATURES = (0.1, 0.2, 0.3, 0.4)  # of the first event; the other has none

# The queries are 1, 2, 0 and -1, the keys 0.5 and -0.5. In heads of 4 numbers the product is a = 4 q k / 2.
PRODUCTS = [(1.0, -1.0), (2.0, -2.0), (0.0, 0.0), (-1.0, 1.0)]
FEATURE_PRODUCTS = [(1.2, -1.0), (2.8, -2.0), (0.0, 0.0), (-1.8, 1.0)]  # 4 q 0.1 / 2 = 0.2 more, ...
# g1 a + g2 s + g3 a s: 2 * 1 + 3 * 0.4 + 0.5 * 1 * 0.4 = 3.4, ...; the last head reads s only
MIXED = [(3.4, -2.5), (5.6, -4.4), (1.2, -0.6), (0.4, -0.2)]
FEATURE_MIXED = [(3.84, -2.5), (7.36, -4.4), (1.2, -0.6), (0.4, -0.2)]
CUT = [(0.5, 0.0), (1.0, 0.0), (0.0, 0.0), (0.0, 0.5)]  # divided by the root of k = 4
FEATURE_CUT = [(0.6, 0.0), (1.4, 0.0), (0.0, 0.0), (0.0, 0.5)]


def repeat_per_head(*values: float) -> Tensor:
    """[16]: each head has one value in all its places."""
    return torch.tensor(values, dtype=torch.float32).repeat_interleave(4)


def build_attention(kind: Attention) -> TargetAttention:
    attention = TargetAttention(16, kind, 4)
    with torch.no_grad():
        for linear, bias in ((attention.query, 1.0), (attention.key, 0.25)):
            linear.weight.copy_(torch.eye(16))
            linear.bias.fill_(bias)
        attention.nothing.copy_(torch.tensor(NOTHING))
        if attention.mix is not None:
            attention.mix.copy_(torch.tensor(MIX))
    return attention


def build_input(has_features: bool) -> AttentionInput:
    target, items = (
        repeat_per_head(0, 1, -1, -2),
        torch.stack([repeat_per_head(*[0.25] * 4), repeat_per_head(*[-0.75] * 4)]),
    )
    features = torch.stack([repeat_per_head(*FEATURES), torch.zeros(16), torch.full((16,), 9.0)])
    padding = torch.tensor([[False, False, True]])
    sims = torch.tensor([[*SIMS, 1.0]])
    return AttentionInput(
        target[None], items, torch.tensor([[0, 1, 0]]), features[None] if has_features else None, sims, padding
    )


def softmax(scores: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The softmax of each head's scores and its weight for no event."""
    sums = [exp(nothing) + exp(a) + exp(b) for nothing, (a, b) in zip(NOTHING, scores, strict=True)]
    return [(exp(a) / total, exp(b) / total) for total, (a, b) in zip(sums, scores, strict=True)]


@pytest.mark.parametrize(
    ("kind", "has_features", "weights"),
    [
        ("target", False, softmax(PRODUCTS)), ("target", True, softmax(FEATURE_PRODUCTS)),
        ("semantic", False, softmax(MIXED)), ("semantic", True, softmax(FEATURE_MIXED)),
        ("quadratic", False, CUT), ("quadratic", True, FEATURE_CUT),
    ],
)  # fmt: skip
def test_each_head_weights_and_sums_events_as_computed_by_hand(
    kind: Attention, has_features: bool, weights: list[tuple[float, float]]
) -> None:
    with torch.no_grad():
        inputs, attention = build_input(has_features), build_attention(kind)
        torch.testing.assert_close(attention.compute_weights(inputs)[0, :, :2], torch.tensor(weights))
        assert (attention.compute_weights(inputs)[0, :, 2] == 0).all()  # padding
        features = FEATURES if has_features else (0.0,) * HEADS
        summed = [a * (0.25 + feature) - 0.75 * b for (a, b), feature in zip(weights, features, strict=True)]
        torch.testing.assert_close(attention(inputs)[0], repeat_per_head(*summed))


def test_semantic_attention_starts_as_the_product_and_the_similarity_added() -> None:
    mix = TargetAttention(16, "semantic", 4).mix
    assert mix is not None
    assert mix.tolist() == [[1, 1, 0]] * HEADS
