"""Features of events without weights, against numbers computed by hand."""

from math import log

import torch

from models.ranker.features import DOUBLINGS, TIERS, bucket_by_doubling, count_events, simtier


def test_simtier_counts_events_by_tenths_of_similarity_without_padding() -> None:
    sims = torch.tensor([[-1.0, -0.96, -0.01, 0.0, 0.09, 0.91, 1.0, 0.5], [0.5] * 8])
    padding = torch.tensor([[False] * 7 + [True], [True] * 8])
    expected = torch.zeros(2, TIERS)
    expected[0, [0, 9, 10, 19]] = torch.tensor([log(3), log(2), log(3), log(3)])
    torch.testing.assert_close(simtier(sims, padding), expected)


def test_similarities_just_beyond_one_are_in_the_outer_tiers() -> None:
    counts = simtier(torch.tensor([[1.001, -1.2]]), torch.zeros(1, 2, dtype=torch.bool))
    assert counts.nonzero()[:, 1].tolist() == [0, TIERS - 1]


def test_counts_are_logarithms_of_one_more() -> None:
    counts = count_events(torch.tensor([[2, 0, 2, 2, 1]]), torch.tensor([[False, False, False, False, True]]), 4)
    torch.testing.assert_close(counts, torch.tensor([[log(2), 0.0, log(4), 0.0]]))


def test_times_and_positions_are_put_into_buckets_that_double() -> None:
    values = torch.tensor([-5.0, 0.0, 0.9, 1.0, 2.9, 3.0, 7.0, 86_400.0, 1e12])
    assert bucket_by_doubling(values).tolist() == [0, 0, 0, 1, 1, 2, 3, 16, DOUBLINGS - 1]
    assert bucket_by_doubling(torch.tensor([0, 1, 3, 10_000])).tolist() == [0, 1, 2, 13]
