"""Packed three-segment rows: their tokens, and which token sees which."""

import pytest
import torch

from models.encoder.attention import dense_kernel, flex_kernel, row_kernel
from models.encoder.segments import Batch, Segment, collate, dense_mask

N, E, Q, A = Segment  # input, <EMB>, question, answer


def random_batch(seed: int) -> Batch:
    """Rows of random lengths; the second has no input, the third no questions."""
    rows = torch.randint(1, 9, (6, 5), generator=torch.Generator().manual_seed(seed)).tolist()
    inputs = [[1] * row[0] for row in rows]
    questions = [[([2] * row[1], [3] * row[2]), ([4] * row[3], [5] * row[4])] for row in rows]
    inputs[1], questions[2] = [], []
    return collate(inputs, questions, embs=2, max_input=99, max_questions=99)


def test_a_row_is_its_input_then_emb_tokens_then_questions_with_their_answers() -> None:
    batch = collate([[7, 8], [9]], [[([1], [2, 3]), ([4], [5])], [([6], [10])]], embs=2, max_input=9, max_questions=9)
    assert batch.tokens.tolist() == [7, 8, 0, 0, 1, 2, 3, 4, 5, 9, 0, 0, 6, 10]
    assert batch.segment.tolist() == [N, N, E, E, Q, A, A, Q, A, N, E, E, Q, A]
    assert batch.row.tolist() == [0] * 9 + [1] * 5
    assert batch.position.tolist() == [*range(9), *range(5)]
    assert batch.emb.tolist() == [[2, 3], [10, 11]]
    assert batch.answer.tolist() == [5, 6, 8, 13]


def test_a_long_input_is_cut_and_a_question_that_does_not_fit_whole_is_left_out() -> None:
    pairs = [([1, 1], [2]), ([3], [4, 4]), ([5], [6])]
    batch = collate([[7, 8, 9]], [pairs], embs=1, max_input=2, max_questions=5)
    assert batch.tokens.tolist() == [7, 8, 0, 1, 1, 2]


def test_rows_without_questions_have_no_answers() -> None:
    batch = collate([[7], [8, 9]], embs=3, max_input=9)
    assert batch.answer.tolist() == []
    assert set(batch.segment.tolist()) == {N, E}


@pytest.mark.parametrize("seed", range(5))
def test_the_mask_is_the_papers_for_rows_of_any_length(seed: int) -> None:
    batch = random_batch(seed)
    row, segment = batch.row.tolist(), batch.segment.tolist()
    mask = dense_mask(batch.row, batch.segment)
    may_see = {N: {N}, E: {N, E}, Q: {E, Q, A}, A: {E, Q, A}}
    for query, visible in enumerate(mask.tolist()):
        expected = [
            row[key] == row[query] and key <= query and segment[key] in may_see[Segment(segment[query])]
            for key in range(len(visible))
        ]
        assert visible == expected


def test_with_the_input_open_the_whole_row_is_causal() -> None:
    batch = collate([[7, 8]], [[([1], [2])]], embs=2, max_input=9, max_questions=9)
    assert dense_mask(batch.row, batch.segment, inputs_open=True).equal(torch.ones(6, 6, dtype=torch.bool).tril())


def test_no_token_sees_padding_and_padding_sees_no_token() -> None:
    mask = dense_mask(torch.tensor([0, 0, -1, -1]), torch.tensor([N, E, N, N]))
    assert not mask[2:].any()
    assert not mask[:, 2:].any()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("input_share", [0.0, 1e-6, 0.4, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_every_kernel_gives_the_result_of_the_dense_mask(seed: int, input_share: float) -> None:
    batch = random_batch(seed)
    generator = torch.Generator().manual_seed(seed)
    query = 3 * torch.randn(1, 6, len(batch.row), 16, generator=generator)  # far from uniform attention
    key, value = torch.randn(2, 1, 2, len(batch.row), 16, generator=generator)
    expected = dense_kernel(batch, input_share)(query, key, value, 0.25)
    torch.testing.assert_close(row_kernel(batch, input_share)(query, key, value, 0.25), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(flex_kernel(batch, input_share)(query, key, value, 0.25), expected, rtol=0, atol=1e-5)


def test_an_input_share_falls_smoothly_to_the_papers_mask() -> None:
    batch = random_batch(0)
    query, key, value = torch.randn(3, 1, 2, len(batch.row), 8, generator=torch.Generator().manual_seed(0))
    closed = row_kernel(batch, 0.0)(query, key, value, 0.3)
    gaps = [float((row_kernel(batch, share)(query, key, value, 0.3) - closed).abs().max()) for share in (1, 0.1, 1e-9)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-6


@pytest.mark.parametrize(("inputs", "questions"), [([], None), ([[1]], [[], []])])
def test_a_batch_without_rows_or_with_questions_for_other_rows_is_refused(
    inputs: list[list[int]], questions: list[list[tuple[list[int], list[int]]]] | None
) -> None:
    with pytest.raises(ValueError, match=r"at least one row|questions for 2"):
        collate(inputs, questions, embs=1, max_input=9)
