"""Attention over packed three-segment rows, by kernels that never hold a [queries, keys] mask.

On a GPU flex attention, compiled, with a block mask. It has no backward pass on CPU (torch 2.15), so there the rows are
laid beside each other and the rule is two plainly causal calls of scaled_dot_product_attention: [input][<EMB>], and
[<EMB>][questions and answers]. The dense kernel is the reference.

Warm start: `input_share` alpha in [0, 1] adds log(alpha) to the scores between questions or answers and the input.
1 is a plain causal model, 0 the paper's mask.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers import AttentionInterface

from models.encoder.segments import Batch, Segment, dense_mask, reads_input, sees

Attend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""query [1, heads, tokens, dim], key and value [1, key heads, tokens, dim], scale -> [1, heads, tokens, dim]"""
Kernel = Callable[[Batch, float], Attend]
"""A batch and its input_share -> the attention of all its layers"""

NAME = "three_segment"  # attn_implementation of the decoder
BEYOND = ("sliding_window", "softcap", "s_aux", "position_bias")  # what other models ask of attention


def forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float,
    attend: Attend,
    dropout: float = 0.0,
    **asked: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer; `attend` comes with the call of the model."""
    if dropout or any(asked.get(name) is not None for name in BEYOND):
        raise ValueError(f"the three-segment encoder knows neither attention dropout nor {', '.join(BEYOND)}")
    # under autocast norms and rotary positions leave queries and keys in float32, where kernels are slow
    out = attend(query.to(value.dtype), key.to(value.dtype), value, scaling)
    return out.transpose(1, 2), None


AttentionInterface.register(NAME, forward)


def fastest(device: torch.device) -> Kernel:
    return flex if device.type == "cuda" else by_rows


def flex(batch: Batch, input_share: float) -> Attend:
    """Flex attention; a score's bias is worked out inside the kernel."""
    row, segment, inputs_open = batch.row, batch.segment, input_share > 0

    def mask(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sees(row, segment, query, key, inputs_open=inputs_open)

    blocks = fused(create_block_mask, row.device.type)(mask, None, None, len(row), len(row), row.device)
    bias = torch.tensor(math.log(input_share) if inputs_open else 0.0, device=row.device)

    def score(value: Tensor, _b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return value + torch.where(reads_input(segment, query, key), bias, 0.0)

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        out: Tensor = fused(flex_attention, row.device.type)(
            query,
            key,
            value,
            score_mod=score if 0 < input_share < 1 else None,
            block_mask=blocks,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out

    return attend


@cache
def fused(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Compiled on a GPU, where it would otherwise fill [queries, keys]; as it stands on a CPU, to compare with."""
    return torch.compile(function, dynamic=True) if device == "cuda" else function


def by_rows(batch: Batch, input_share: float) -> Attend:
    """Causal calls over rows laid beside each other, padded behind, where causal attention never looks."""
    segment = batch.segment
    asks = segment >= Segment.QUESTION
    spans = [torch.ones_like(asks)] if input_share > 0 else [~asks, segment >= Segment.EMB]
    counted = [span if number == 0 else asks for number, span in enumerate(spans)]  # <EMB> comes from the first
    calls = [beside(batch.row, span, count) for span, count in zip(spans, counted, strict=True) if count.any()]
    order = torch.cat([count.nonzero().squeeze(1) for count in counted]).argsort()

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        dim = value.shape[-1]
        if 0 < input_share < 1:
            query, key, value = with_bias(query, key, value, segment, math.log(input_share) / scale)
        outs = torch.cat([call(query, key, value, scale) for call in calls])
        return outs.index_select(0, order)[..., :dim].transpose(0, 1).unsqueeze(0)

    return attend


def beside(row: Tensor, span: Tensor, counted: Tensor) -> Attend:
    """Causal attention among the tokens of a span, each row by itself.

    row, span, counted  [tokens] int64, bool, bool; counted lies within span
    returns             attention that gives [counted tokens, heads, dim]
    """
    places = span.nonzero().squeeze(1)
    lengths = row[places].bincount()
    width = int(lengths.max())
    flat = torch.arange(len(places)) + (torch.arange(len(lengths)) * width - lengths.cumsum(0) + lengths)[row[places]]
    source = torch.zeros(len(lengths) * width, dtype=torch.int64)  # behind a row stands token 0: nobody looks there
    source[flat] = places
    back = flat[counted[places]]

    def lay(x: Tensor) -> Tensor:
        tokens = x[0].transpose(0, 1).index_select(0, source)
        return tokens.view(-1, width, *tokens.shape[1:]).transpose(1, 2)

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        shared = query.shape[1] != key.shape[1]
        out = F.scaled_dot_product_attention(
            lay(query), lay(key), lay(value), is_causal=True, scale=scale, enable_gqa=shared
        )
        return out.transpose(1, 2).flatten(0, 1).index_select(0, back)

    return attend


def with_bias(query: Tensor, key: Tensor, value: Tensor, segment: Tensor, bias: float) -> tuple[Tensor, Tensor, Tensor]:
    """One more dimension in every head, that adds `bias` to the product where questions or answers meet the input."""
    asks = (segment >= Segment.QUESTION).to(query.dtype)[:, None] * bias
    given = (segment == Segment.INPUT).to(key.dtype)[:, None]
    wide_query = torch.cat([query, asks.expand(*query.shape[:-1], 1)], -1)
    wide_key = torch.cat([key, given.expand(*key.shape[:-1], 1)], -1)
    return wide_query, wide_key, F.pad(value, (0, 1))


def dense(batch: Batch, input_share: float) -> Attend:
    """The reference: every score is worked out, then masked."""
    seen = dense_mask(batch.row, batch.segment, inputs_open=input_share > 0)
    place = torch.arange(len(batch.row), device=batch.row.device)
    reading = reads_input(batch.segment, place[:, None], place[None, :])
    bias = torch.where(reading & seen, math.log(input_share) if input_share > 0 else 0.0, 0.0)
    bias = bias.masked_fill(~seen, -math.inf)

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        return (query @ key.transpose(2, 3) * scale + bias).softmax(-1) @ value

    return attend
