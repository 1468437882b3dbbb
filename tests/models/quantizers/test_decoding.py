"""Rebuilding vectors from codes."""

import torch

from models.quantizers.decoding import decode_tables, rebuild


def test_tables_find_the_sums_that_the_vectors_were_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(codes, 6, generator=generator, dtype=torch.float64) for codes in (5, 4, 8)]
    codes = torch.stack([torch.randint(len(table), (2000,), generator=generator) for table in made], dim=1)
    x = rebuild(made, codes)
    start = [torch.zeros_like(table) for table in made]
    found = decode_tables(x.float(), torch.ones(2000), codes, start)
    assert (rebuild(found, codes) - x).square().mean() < 1e-3 * x.square().mean()


def test_a_code_without_items_stays_where_it_started() -> None:
    start = [torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)]
    (found,) = decode_tables(torch.tensor([[8.0, 7.0]]), torch.ones(1), torch.tensor([[0]]), start)
    assert found[1].tolist() == [3.0, 4.0]
    assert 1 < found[0, 0] < 9  # one item pulls it part of the way


def test_an_item_that_came_often_counts_as_often() -> None:
    codes, start = torch.tensor([[0], [0]]), [torch.zeros(1, 1, dtype=torch.float64)]
    (few,), (many,) = (
        decode_tables(torch.tensor([[0.0], [10.0]]), torch.tensor([1.0, n]), codes, start) for n in (1.0, 100.0)
    )
    assert few[0, 0] < many[0, 0] < 10
