"""How fast is our embedding, compared with `SentenceTransformer.encode` with the same weights in the same run?

    make bench B=embed ARGS="--data <landing folder> [--repeats 3] [--json embed.json]"

Each way embeds all items `--repeats` times, in turn, after a warm-up on 512 items.

Columns:

    items, tokens per second  median over the repeats
    slowest, fastest          items per second of the slowest and the fastest repeat
    times peer                our speed divided by that of SentenceTransformer
    lowest cosine             lowest cosine similarity of an item's vector to that of SentenceTransformer; 1 is the same
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from common import build_parser, describe_machine
from items import build_item_text, read_items
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Encoder
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder
from models.precision import fast_bfloat16

Vectors = NDArray[np.float32]
Way = Callable[[list[str]], Vectors]


def build_ways(location: str, settings: Encoder) -> dict[str, Way]:
    """The peer first, then ours in float32 and, where the processor supports it, in bfloat16."""

    def build_ours(bf16: bool) -> Way:
        encoder = SentenceEmbedder(location, max_tokens=settings.max_tokens, bf16=bf16)
        return lambda texts: embedder.embed(encoder, texts, tokens_per_batch=settings.tokens_per_batch)

    peer = SentenceTransformer(location, device="cuda" if torch.cuda.is_available() else "cpu")
    peer.max_seq_length = settings.max_tokens
    ways: dict[str, Way] = {
        "SentenceTransformer.encode, float32": lambda texts: np.asarray(peer.encode(texts, normalize_embeddings=True)),
        "ours, float32": build_ours(False),
    }
    return ways | ({"ours, bfloat16": build_ours(True)} if fast_bfloat16() else {})


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder with items*.jsonl.gz")
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    texts = list(map(build_item_text, read_items(flags.data).values()))
    if not texts:
        sys.exit(f"embed: {flags.data} holds no items*.jsonl.gz, neither itself nor in day folders")
    settings = Encoder()
    ways = build_ways(encoder_location(settings), settings)
    tokens = sum(map(len, SentenceEmbedder(encoder_location(settings), max_tokens=settings.max_tokens).items(texts)))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, Vectors] = {}
    for way in ways.values():
        way(texts[:512])
    for _ in range(flags.repeats):
        for name, way in ways.items():
            started = perf_counter()
            vectors[name] = way(texts)
            seconds[name].append(perf_counter() - started)
    rows = [build_row(name, seconds, vectors, len(texts), tokens) for name in ways]
    show(rows, f"{len(texts):,} items, {tokens:,} tokens; {describe_machine('torch', 'sentence-transformers')}")
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


def build_row(
    name: str, seconds: dict[str, list[float]], vectors: dict[str, Vectors], items: int, tokens: int
) -> dict[str, str | float]:
    peer = next(iter(seconds))
    median = statistics.median(seconds[name])
    return {
        "way": name,
        "items_per_second": round(items / median, 1),
        "tokens_per_second": round(tokens / median),
        "slowest": round(items / max(seconds[name]), 1),
        "fastest": round(items / min(seconds[name]), 1),
        "times_peer": round(statistics.median(seconds[peer]) / median, 2),
        "lowest_cosine": round(float((vectors[name] * vectors[peer]).sum(axis=1).min()), 6),
    }


def show(rows: list[dict[str, str | float]], title: str) -> None:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column == "way" else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else value for value in row.values()))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
