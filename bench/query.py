"""Does `--query` find the item that is meant?

    make bench B=query ARGS="--data <amazon_beauty> [--queries 500] [--seeds 0]"

A query is some random words of an item's title, in random order. The preset `sidereal` of bench/generate.py learns from
the log. Columns: how often the item is among the best ten

    generator  of what the generator finds
    words      of the items whose TF-IDF vectors of words are nearest to the query's
    text       of the items whose MiniLM vectors are nearest to the query's
    joined     of these three lists, joined by reciprocal rank fusion: what `--query` prints

Such queries favour the search by words: people also write words that no title has.
"""

from pathlib import Path

import numpy as np
import torch
from common import build_parser, describe_machine
from generate_log import Events, KnownLog
from generate_models import BEAM, train_design
from rich.console import Console
from rich.table import Table

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Encoder
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder
from models.generator.design import PRESETS
from models.generator.model import Generator
from models.generator.query_search import find_lists, join_lists
from models.generator.words import Words, split

FIRST = 10
COUNTS = (1, 2, 3, 5)  # words of a query
COLUMNS = ("generator", "words", "text", "joined")


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    flags = parser.parse_args()
    rates = []  # [seeds, counts of words, columns]
    for seed in flags.seeds:
        log = Events.read(flags.data).arrange("leave_one_out", "raw", seed).known
        model = train_design(PRESETS["sidereal"], log, seed)
        rates.append([measure(model, log, flags.queries, n_words, seed) for n_words in COUNTS])
    title = f"{flags.data.name}: {flags.queries} queries, {log.n_items:,} items, hit rate at {FIRST}"
    table = Table(title=f"{title}; {describe_machine('torch')}")
    for name in ("words of the title", *COLUMNS):
        table.add_column(name, justify="right")
    for n_words, row in zip(COUNTS, np.array(rates).transpose(1, 2, 0), strict=True):
        table.add_row(str(n_words), *(f"{np.mean(values):.3f} ± {np.std(values):.3f}" for values in row))
    Console(width=180).print(table)


def measure(model: Generator, log: KnownLog, count: int, n_words: int, seed: int) -> list[float]:
    """How often the item is among the first ten of each list, in the order of COLUMNS."""
    rng = np.random.default_rng([seed, n_words])
    titles = [sorted(set(split(item["title"] or ""))) for item in log.catalogue.items]
    meant = rng.choice([item for item, words in enumerate(titles) if len(words) >= max(COUNTS)], count)
    queries = [" ".join(rng.permutation(titles[item])[:n_words]) for item in meant]
    encoder = Encoder()
    embed_with = SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens)
    vectors = embedder.embed(embed_with, queries, tokens_per_batch=encoder.tokens_per_batch)
    is_listed, hits = torch.ones(log.n_items, dtype=torch.bool, device=model.device), np.zeros(len(COLUMNS))
    for item, query, vector in zip(meant, queries, torch.from_numpy(vectors), strict=True):
        lists = find_lists(model, Words.read([query]), vector.unsqueeze(0), is_listed, BEAM)
        lists["joined"] = [joined for joined, _ in join_lists(lists, FIRST)]
        hits += [item in lists[name][:FIRST] for name in COLUMNS]
    rates: list[float] = (hits / count).tolist()
    return rates


if __name__ == "__main__":
    main()
