"""Rebuilding vectors from codes."""

import torch

from models.quantizers.decoding import fit_decode_tables, rebuild


def test_tables_find_the_sums_that_the_vectors_were_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    true_tables = [torch.randn(codes, 6, generator=generator, dtype=torch.float64) for codes in (5, 4, 8)]
    codes = torch.stack([torch.randint(len(table), (2000,), generator=generator) for table in true_tables], dim=1)
    x = rebuild(true_tables, codes)
    start = [torch.zeros_like(table) for table in true_tables]
    tables = fit_decode_tables(x.float(), torch.ones(2000), codes, start)
    assert (rebuild(tables, codes) - x).square().mean() < 1e-3 * x.square().mean()


def test_a_code_without_items_stays_where_it_started() -> None:
    start = [torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)]
    (table,) = fit_decode_tables(torch.tensor([[8.0, 7.0]]), torch.ones(1), torch.tensor([[0]]), start)
    assert table[1].tolist() == [3.0, 4.0]
    assert 1 < table[0, 0] < 9  # one item pulls it part of the way


def test_an_item_that_came_often_counts_as_often() -> None:
    codes, start = torch.tensor([[0], [0]]), [torch.zeros(1, 1, dtype=torch.float64)]
    (few_times,), (many_times,) = (
        fit_decode_tables(torch.tensor([[0.0], [10.0]]), torch.tensor([1.0, n]), codes, start) for n in (1.0, 100.0)
    )
    assert few_times[0, 0] < many_times[0, 0] < 10
