"""What the three-segment encoder makes of a GPU: items and tokens a second, and its share of the card's own peak.

    make bench B=decoder ARGS="--data <landing folder> [--json decoder.json]"

A language model of Qwen3-0.6B's shape with random weights, in bfloat16. `embed` is what the job `embed` does, `train` a
whole step of `align`: encode, contrastive and next-token loss, gradients, AdamW. Share: the floating-point operations
that the model needs (twice the weights of its layers for each token, the products of attention that the mask lets see,
the vocabulary for each answer token; three times that in training) over those that a product of two 8192 x 8192
matrices reached in the same run. Texts are as long as the items' are; their words are random tokens. Asserts nothing.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from common import machine
from items import item_rows, item_text
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Align, Encoder
from models.encoder.contrastive_loss import backward
from models.encoder.embedder import embed
from models.encoder.segments import Batch, QuestionAnswer, collate
from models.encoder.sentence_embedder import SentenceEmbedder
from models.encoder.three_segment import ThreeSegmentEncoder

Row = dict[str, str | float]
EMBS = 3
QUESTIONS, QUESTION, ANSWER = 10, 9, 4  # of an item, and tokens of each: about what the templates write
WARM_UP = 2  # runs, in which kernels are compiled


def qwen3() -> Qwen3Config:
    """Qwen3-0.6B's shape."""
    return Qwen3Config(
        vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    )  # fmt: skip


def flops(config: Qwen3Config, inputs: list[int], asked: int, answered: int) -> float:
    """Of encoding items once.

    inputs             tokens of each item
    asked, answered    tokens behind <EMB> of each item, and how many of them are answers
    """
    wide, heads, keys = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    assert keys is not None
    weights = wide * config.head_dim * (2 * heads + 2 * keys) + 3 * wide * config.intermediate_size
    n = np.asarray(inputs, float)
    pairs = n * (n + 1) / 2 + EMBS * n + (EMBS + asked) * (EMBS + asked + 1) / 2
    tokens = (n + EMBS + asked).sum()
    layers = 2 * weights * tokens + 4 * heads * config.head_dim * pairs.sum()
    return float(config.num_hidden_layers * layers + 2 * wide * config.vocab_size * answered * len(n))


def seconds(run: Callable[[], object], device: str, repeats: int) -> float:
    """Of one run, the mean of some after a warm-up."""
    for _ in range(WARM_UP):
        run()
    _wait(device)
    started = perf_counter()
    for _ in range(repeats):
        run()
    _wait(device)
    return (perf_counter() - started) / repeats


def peak(device: str, size: int = 8192) -> float:
    """Floating-point operations a second of a product of two bfloat16 matrices."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, repeats=10)


class Ready:
    """Token ids instead of texts, and the encoder: an `Embedder`."""

    def __init__(self, encoder: ThreeSegmentEncoder, items: list[list[int]]) -> None:
        self.encoder, self.tokens = encoder, items
        self.dim, self.dtype = encoder.emb.shape[1], encoder.emb.dtype

    def items(self, texts: Sequence[str], images: Sequence[str | None]) -> list[list[int]]:
        return [self.tokens[int(text)] for text in texts]

    def collate(self, items: Sequence[list[int]]) -> Batch:
        return collate(items, embs=EMBS)

    def vectors(self, batch: Batch) -> Tensor:
        return self.encoder.embed(batch)

    def left_out(self) -> str:
        return ""


def training(encoder: ThreeSegmentEncoder, batch: Batch, temperature: float) -> Callable[[], None]:
    """A step on a batch whose items are partners two by two."""
    partners = torch.arange(len(batch.emb), device=encoder.emb.device) ^ 1
    positive = torch.zeros(len(partners), len(partners), dtype=torch.bool, device=encoder.emb.device)
    positive[torch.arange(len(partners)), partners] = True
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5)

    def run() -> None:
        backward(encoder, [batch], positive, temperature=temperature, answer_weight=1.0, seed=0)
        optimizer.step()
        optimizer.zero_grad()

    return run


def measured(config: Qwen3Config, inputs: list[int], device: str, budget: int, train_items: int) -> list[Row]:
    """A row for embedding all items, and one for training on the first ones, an even number of them."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)

    def words(length: int) -> list[int]:
        return [int(token) for token in draw.integers(1, config.vocab_size, length)]

    items = [words(length) for length in inputs]
    best = peak(device, 8192 if device == "cuda" else 1024)
    model = ThreeSegmentEncoder(Qwen3ForCausalLM(config), embs=EMBS, bf16=True).to(device)
    asked: list[list[QuestionAnswer]] = [
        [(words(QUESTION), words(ANSWER)) for _ in range(QUESTIONS)] for _ in items[:train_items]
    ]
    behind = QUESTIONS * (QUESTION + ANSWER)
    batch = collate(items[:train_items], asked, embs=EMBS, max_questions=behind)
    step = seconds(training(model.train(), batch, Align().temperature), device, repeats=5)
    work = 3 * flops(config, inputs[:train_items], behind, QUESTIONS * ANSWER)
    rows = [_row("train", train_items, len(batch.tokens), step, work, best)]
    for parameter in model.requires_grad_(False).eval().parameters():
        parameter.data = parameter.data.bfloat16()
    ready, names = Ready(model, items), [str(place) for place in range(len(items))]
    once = seconds(lambda: embed(ready, names, tokens_per_batch=budget), device, repeats=3)
    tokens = sum(inputs) + EMBS * len(items)
    return [_row("embed", len(items), tokens, once, flops(config, inputs, 0, 0), best), *rows]


def _row(what: str, items: int, tokens: int, took: float, work: float, best: float) -> Row:
    return {
        "what": what, "items_per_second": round(items / took, 1), "tokens_per_second": round(tokens / took),
        "tflops": round(work / took / 1e12, 2), "measured_peak_tflops": round(best / 1e12, 2),
        "share_of_peak": round(work / took / best, 3),
    }  # fmt: skip


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder with items*.jsonl.gz")
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("decoder: this bench needs a GPU")
    texts, settings = list(map(item_text, item_rows(flags.data).values())), Encoder()
    lengths = [len(ids) for ids in SentenceEmbedder(encoder_location(settings), max_tokens=512).items(texts)]
    rows = measured(qwen3(), lengths, "cuda", budget=131_072, train_items=512)
    print(f"{len(texts):,} items; {torch.cuda.get_device_name()}; {machine('torch', 'transformers')}")
    for row in rows:
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()))
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
