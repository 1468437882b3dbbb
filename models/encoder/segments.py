"""The three segments of a row, and which token sees which (QARM V2, arXiv 2602.08559).

    [input tokens] [<EMB> tokens] [question, answer, question, answer, ...]

Input sees earlier input. <EMB> sees input and earlier <EMB>. Questions and answers see <EMB> and earlier questions
and answers, but never the input: everything that an answer needs must pass through <EMB>.

Rows are packed one after the other into a single sequence, without padding; a token sees its own row only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from itertools import chain

import torch
from torch import Tensor


class Segment(IntEnum):
    INPUT = 0
    EMB = 1
    QUESTION = 2
    ANSWER = 3  # the only tokens whose next-token loss counts


QuestionAnswer = tuple[Sequence[int], Sequence[int]]  # the tokens of a question, the tokens of its answer


@dataclass(frozen=True)
class Batch:
    """Packed rows.

    tokens    [tokens] int64 of the vocabulary; 0 for <EMB>, whose embeddings are not in the vocabulary
    row       [tokens] int64 the row of a token, from 0, ascending
    position  [tokens] int64 place in the row, from 0
    segment   [tokens] int64 a Segment
    emb       [rows, embs] int64 indices of the <EMB> tokens
    answer    [answer tokens] int64 indices of the answer tokens
    pixels    [patches, values] float32 image patches of the model's processor, in the order of the image tokens
    grid      [images, 3] int64 patches of each image in time, height and width
    """

    tokens: Tensor
    row: Tensor
    position: Tensor
    segment: Tensor
    emb: Tensor
    answer: Tensor
    pixels: Tensor | None = None
    grid: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: t.to(device, non_blocking=True) for name, t in tensors.items() if t is not None})


def collate(
    inputs: Sequence[Sequence[int]],
    questions: Sequence[Sequence[QuestionAnswer]] | None = None,
    *,
    embs: int,
    max_input: int | None = None,
    max_questions: int = 0,
    pixels: Tensor | None = None,
    grid: Tensor | None = None,
) -> Batch:
    """Pack rows.

    inputs         [rows] the tokens of each item
    questions      [rows] the questions about each item with their answers; None to embed only
    embs           <EMB> tokens of a row
    max_input      input tokens of a row: its first ones, so images come first; None keeps all
    max_questions  question and answer tokens of a row; a pair that does not fit as a whole ends the row
    raises         ValueError if there is no row, or not one list of questions for each row
    """
    if not inputs:
        raise ValueError("a batch needs at least one row")
    texts = [list(tokens[:max_input]) for tokens in inputs]
    pairs = (
        [take_fitting_pairs(row, max_questions) for row in questions] if questions is not None else [[] for _ in texts]
    )
    if len(pairs) != len(texts):
        raise ValueError(f"{len(texts)} inputs, but questions for {len(pairs)}")
    tails = [
        [part for pair in row for part in zip(pair, (Segment.QUESTION, Segment.ANSWER), strict=True)] for row in pairs
    ]
    rows = [[(text, Segment.INPUT), ([0] * embs, Segment.EMB), *tail] for text, tail in zip(texts, tails, strict=True)]
    lengths = [sum(len(tokens) for tokens, _ in row) for row in rows]
    segment = int64_tensor(chain.from_iterable([kind] * len(tokens) for row in rows for tokens, kind in row))
    return Batch(
        tokens=int64_tensor(chain.from_iterable(tokens for row in rows for tokens, _ in row)),
        row=torch.arange(len(rows)).repeat_interleave(int64_tensor(lengths)),
        position=torch.cat([torch.arange(length) for length in lengths]),
        segment=segment,
        emb=(segment == Segment.EMB).nonzero().view(len(rows), embs),
        answer=(segment == Segment.ANSWER).nonzero().squeeze(1),
        pixels=pixels,
        grid=grid,
    )


def take_fitting_pairs(pairs: Sequence[QuestionAnswer], max_tokens: int) -> list[QuestionAnswer]:
    """The first pairs that have at most max_tokens tokens together: from half an answer a model would learn to stop."""
    kept: list[QuestionAnswer] = []
    for question, answer in pairs:
        max_tokens -= len(question) + len(answer)
        if max_tokens < 0:
            break
        kept.append((question, answer))
    return kept


def int64_tensor(values: Iterable[int]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.int64)


def sees(row: Tensor, segment: Tensor, query: Tensor, key: Tensor, *, inputs_open: bool) -> Tensor:
    """Whether token `query` sees token `key`: the rule behind every mask.

    row, segment  [tokens] int64; row -1 is padding: no token sees it, and it sees no token
    query, key    int64 token indices, of shapes that broadcast
    inputs_open   warm start: questions and answers see the input too, so that the whole row is causal
    returns       bool, of the broadcast shape
    """
    causal = (row[query] == row[key]) & (row[key] >= 0) & (key <= query)
    if inputs_open:
        return causal
    return causal & ~reads_input(segment, query, key)


def reads_input(segment: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Whether `query` belongs to a question or an answer and `key` to the input; shapes as in sees()."""
    return (segment[query] >= int(Segment.QUESTION)) & (segment[key] == int(Segment.INPUT))


def dense_mask(row: Tensor, segment: Tensor, *, inputs_open: bool = False) -> Tensor:
    """The whole mask, for the reference kernel and for tests.

    row, segment  [tokens] int64
    returns       [queries, keys] bool, true = sees
    """
    place = torch.arange(len(row), device=row.device)
    return sees(row, segment, place[:, None], place[None, :], inputs_open=inputs_open)
