"""How well does the three-segment encoder (a decoder-only language model) use a GPU?

    make bench B=decoder ARGS="--data <landing folder> [--json decoder.json]"

The model has the shape of Qwen3-0.6B with random weights, in bfloat16. Texts are as long as those of the items, but
their words are random tokens. Needs a GPU.

Rows (what):

    embed  embedding all items, as the job `embed` does
    train  one whole step of the job `align`: encode, contrastive and next-token loss, gradients, AdamW

Columns:

    items, tokens per second
    tflops                floating-point operations (10^12 a second) that the model needs. For each token these are
                          twice the weights of its layers; to these come the products of attention that the mask lets
                          see, and the vocabulary for each answer token. Training needs three times that.
    measured peak tflops  what a product of two 8192 x 8192 matrices reached in the same run
    share of peak         the first divided by the second
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from common import build_parser, describe_machine
from items import build_item_text, read_items
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
QUESTIONS, QUESTION_TOKENS, ANSWER_TOKENS = 10, 9, 4  # of an item: about what the question templates write
WARM_UP_RUNS = 2  # in which kernels are compiled


def build_qwen3_config() -> Qwen3Config:
    """The shape of Qwen3-0.6B."""
    return Qwen3Config(
        vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    )  # fmt: skip


def count_operations(config: Qwen3Config, item_tokens: list[int], question_tokens: int, answer_tokens: int) -> float:
    """Floating-point operations for encoding items once.

    item_tokens      tokens of each item
    question_tokens  tokens of questions and answers behind <EMB> of each item
    answer_tokens    how many of these are answers
    """
    hidden, heads, key_heads = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    assert key_heads is not None
    weights = hidden * config.head_dim * (2 * heads + 2 * key_heads) + 3 * hidden * config.intermediate_size
    n = np.asarray(item_tokens, float)
    pairs = n * (n + 1) / 2 + EMBS * n + (EMBS + question_tokens) * (EMBS + question_tokens + 1) / 2
    tokens = (n + EMBS + question_tokens).sum()
    layers = 2 * weights * tokens + 4 * heads * config.head_dim * pairs.sum()
    return float(config.num_hidden_layers * layers + 2 * hidden * config.vocab_size * answer_tokens * len(n))


def time_run(run: Callable[[], object], device: str, repeats: int) -> float:
    """Mean seconds of a run over the repeats, after a warm-up."""
    for _ in range(WARM_UP_RUNS):
        run()
    _synchronize(device)
    started = perf_counter()
    for _ in range(repeats):
        run()
    _synchronize(device)
    return (perf_counter() - started) / repeats


def measure_peak(device: str, size: int = 8192) -> float:
    """Floating-point operations a second of a product of two bfloat16 matrices."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / time_run(lambda: a @ b, device, repeats=10)


class TokenEmbedder:
    """An `Embedder` whose items are lists of token IDs: the text of an item is its index."""

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


def build_training_step(encoder: ThreeSegmentEncoder, batch: Batch, temperature: float) -> Callable[[], None]:
    """A step on a batch in which each two neighbouring items are partners."""
    partners = torch.arange(len(batch.emb), device=encoder.emb.device) ^ 1
    positive = torch.zeros(len(partners), len(partners), dtype=torch.bool, device=encoder.emb.device)
    positive[torch.arange(len(partners)), partners] = True
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5)

    def run() -> None:
        backward(encoder, [batch], positive, temperature=temperature, answer_weight=1.0, seed=0)
        optimizer.step()
        optimizer.zero_grad()

    return run


def measure(
    config: Qwen3Config, item_tokens: list[int], device: str, tokens_per_batch: int, train_items: int
) -> list[Row]:
    """Measure embedding all items, and training on the first `train_items` (an even number)."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    def draw_tokens(length: int) -> list[int]:
        return [int(token) for token in rng.integers(1, config.vocab_size, length)]

    items = [draw_tokens(length) for length in item_tokens]
    peak = measure_peak(device, 8192 if device == "cuda" else 1024)
    model = ThreeSegmentEncoder(Qwen3ForCausalLM(config), embs=EMBS, bf16=True).to(device)
    questions: list[list[QuestionAnswer]] = [
        [(draw_tokens(QUESTION_TOKENS), draw_tokens(ANSWER_TOKENS)) for _ in range(QUESTIONS)]
        for _ in items[:train_items]
    ]
    question_tokens = QUESTIONS * (QUESTION_TOKENS + ANSWER_TOKENS)
    batch = collate(items[:train_items], questions, embs=EMBS, max_questions=question_tokens)
    step_seconds = time_run(build_training_step(model.train(), batch, Align().temperature), device, repeats=5)
    operations = 3 * count_operations(config, item_tokens[:train_items], question_tokens, QUESTIONS * ANSWER_TOKENS)
    rows = [build_row("train", train_items, len(batch.tokens), step_seconds, operations, peak)]
    for parameter in model.requires_grad_(False).eval().parameters():
        parameter.data = parameter.data.bfloat16()
    embedder, names = TokenEmbedder(model, items), [str(n) for n in range(len(items))]
    embed_seconds = time_run(lambda: embed(embedder, names, tokens_per_batch=tokens_per_batch), device, repeats=3)
    tokens = sum(item_tokens) + EMBS * len(items)
    operations = count_operations(config, item_tokens, 0, 0)
    return [build_row("embed", len(items), tokens, embed_seconds, operations, peak), *rows]


def build_row(what: str, items: int, tokens: int, seconds: float, operations: float, peak: float) -> Row:
    return {
        "what": what, "items_per_second": round(items / seconds, 1), "tokens_per_second": round(tokens / seconds),
        "tflops": round(operations / seconds / 1e12, 2), "measured_peak_tflops": round(peak / 1e12, 2),
        "share_of_peak": round(operations / seconds / peak, 3),
    }  # fmt: skip


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder with items*.jsonl.gz")
    flags = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("decoder: this bench needs a GPU, but PyTorch sees none")
    texts, settings = list(map(build_item_text, read_items(flags.data).values())), Encoder()
    lengths = [len(ids) for ids in SentenceEmbedder(encoder_location(settings), max_tokens=512).items(texts)]
    rows = measure(build_qwen3_config(), lengths, "cuda", tokens_per_batch=131_072, train_items=256)
    print(f"{len(texts):,} items; {torch.cuda.get_device_name()}; {describe_machine('torch', 'transformers')}")
    for row in rows:
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()))
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
