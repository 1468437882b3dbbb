"""Attention over packed three-segment rows, by kernels that never keep a [queries, keys] mask in memory.

On a GPU it is compiled flex attention with a block mask. Flex attention has no backward pass on a CPU (torch 2.15). On
a CPU the rows become a padded batch, and two causal calls of scaled_dot_product_attention follow the rule: one over
[input][<EMB>], one over [<EMB>][questions and answers]. The dense kernel is the reference.

Warm start: `input_share` alpha in [0, 1] adds log(alpha) to the scores between questions or answers and the input.
1 is a plain causal model, 0 is the paper's mask.
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
"""A batch and its input_share -> the attention of all layers"""

NAME = "three_segment"  # attn_implementation of the decoder
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")  # what other models need of attention


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
    **options: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in every layer; `attend` is an argument of the model's call."""
    if dropout or any(options.get(name) is not None for name in UNSUPPORTED):
        raise ValueError(f"the three-segment encoder supports neither attention dropout nor {', '.join(UNSUPPORTED)}")
    # Under autocast, norms and rotary positions leave queries and keys in float32, in which kernels are slow.
    out = attend(query.to(value.dtype), key.to(value.dtype), value, scaling)
    return out.transpose(1, 2), None


AttentionInterface.register(NAME, forward)


def fastest_kernel(device: torch.device) -> Kernel:
    """The fastest kernel on a device."""
    return flex_kernel if device.type == "cuda" else row_kernel


def flex_kernel(batch: Batch, input_share: float) -> Attend:
    """Flex attention; the kernel computes the bias of a score."""
    row, segment, inputs_open = batch.row, batch.segment, input_share > 0

    def mask(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sees(row, segment, query, key, inputs_open=inputs_open)

    blocks = compile_on_gpu(create_block_mask, row.device.type)(mask, None, None, len(row), len(row), row.device)
    bias = torch.tensor(math.log(input_share) if inputs_open else 0.0, device=row.device)

    def score(value: Tensor, _b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return value + torch.where(reads_input(segment, query, key), bias, 0.0)

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        out: Tensor = compile_on_gpu(flex_attention, row.device.type)(
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
def compile_on_gpu(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Compile a function on a GPU, where it would otherwise fill [queries, keys]. On a CPU only tests call it."""
    return torch.compile(function, dynamic=True) if device == "cuda" else function


def row_kernel(batch: Batch, input_share: float) -> Attend:
    """Causal calls over rows as a batch, padded at the end, where causal attention never looks."""
    segment = batch.segment
    in_questions = segment >= Segment.QUESTION
    spans = [torch.ones_like(in_questions)] if input_share > 0 else [~in_questions, segment >= Segment.EMB]
    outputs = [span if number == 0 else in_questions for number, span in enumerate(spans)]  # <EMB>: of the first span
    calls = [
        causal_row_attention(batch.row, span, output)
        for span, output in zip(spans, outputs, strict=True)
        if output.any()
    ]
    order = torch.cat([output.nonzero().squeeze(1) for output in outputs]).argsort()

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        dim = value.shape[-1]
        if 0 < input_share < 1:
            query, key, value = add_bias_dimension(query, key, value, segment, math.log(input_share) / scale)
        outs = torch.cat([call(query, key, value, scale) for call in calls])
        return outs.index_select(0, order)[..., :dim].transpose(0, 1).unsqueeze(0)

    return attend


def causal_row_attention(row: Tensor, span: Tensor, output: Tensor) -> Attend:
    """Causal attention among the tokens of a span, within each row.

    row, span, output  [tokens] int64, bool, bool; output marks a part of the span
    returns            attention that returns [output tokens, heads, dim]
    """
    places = span.nonzero().squeeze(1)
    lengths = row[places].bincount()
    width = int(lengths.max())
    padded = torch.arange(len(places)) + (torch.arange(len(lengths)) * width - lengths.cumsum(0) + lengths)[row[places]]
    source = torch.zeros(len(lengths) * width, dtype=torch.int64)  # the padding is token 0: no token looks at it
    source[padded] = places
    output_places = padded[output[places]]

    def pad(x: Tensor) -> Tensor:
        tokens = x[0].transpose(0, 1).index_select(0, source)
        return tokens.view(-1, width, *tokens.shape[1:]).transpose(1, 2)

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        has_shared_keys = query.shape[1] != key.shape[1]
        out = F.scaled_dot_product_attention(
            pad(query), pad(key), pad(value), is_causal=True, scale=scale, enable_gqa=has_shared_keys
        )
        return out.transpose(1, 2).flatten(0, 1).index_select(0, output_places)

    return attend


def add_bias_dimension(
    query: Tensor, key: Tensor, value: Tensor, segment: Tensor, bias: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Add a dimension to every head that adds `bias` to the product of a question or answer with an input token."""
    of_questions = (segment >= Segment.QUESTION).to(query.dtype)[:, None] * bias
    of_input = (segment == Segment.INPUT).to(key.dtype)[:, None]
    wide_query = torch.cat([query, of_questions.expand(*query.shape[:-1], 1)], -1)
    wide_key = torch.cat([key, of_input.expand(*key.shape[:-1], 1)], -1)
    return wide_query, wide_key, F.pad(value, (0, 1))


def dense_kernel(batch: Batch, input_share: float) -> Attend:
    """The reference: compute every score, then mask."""
    visible = dense_mask(batch.row, batch.segment, inputs_open=input_share > 0)
    place = torch.arange(len(batch.row), device=batch.row.device)
    is_input = reads_input(batch.segment, place[:, None], place[None, :])
    bias = torch.where(is_input & visible, math.log(input_share) if input_share > 0 else 0.0, 0.0)
    bias = bias.masked_fill(~visible, -math.inf)

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        return (query @ key.transpose(2, 3) * scale + bias).softmax(-1) @ value

    return attend
