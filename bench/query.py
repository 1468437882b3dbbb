"""Does `--query` find the item that is meant?

    make bench B=query ARGS="--data <amazon_beauty> [--queries 500] [--seeds 0] [--json FILE]"

A query is some random words of an item's title, in random order. The preset `sidereal` of bench/generate.py learns from
the log. Columns: how often the item is among the best ten

    generator  of what the generator finds
    words      of the items whose TF-IDF vectors of words are nearest to the query's
    text       of the items whose MiniLM vectors are nearest to the query's
    joined     of these three lists, joined by reciprocal rank fusion: what `--query` prints

Such queries favour the search by words: people also write words that no title has.
"""

import json
import sys
from pathlib import Path
from typing import Any

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
Row = dict[str, Any]


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    flags = parser.parse_args()
    rows: list[Row] = []
    try:
        events = Events.read(flags.data)
        for seed in flags.seeds:
            log = events.arrange("leave_one_out", "raw", seed).known
            titles = split_long_titles(log)
            model = train_design(PRESETS["sidereal"], log, seed)
            for n_words in COUNTS:
                names = {"title_words": n_words, "seed": seed, "queries": flags.queries}
                rows.append(names | measure(model, log, titles, flags.queries, n_words, seed))
                print(rows[-1], file=sys.stderr, flush=True)
                if flags.json:
                    flags.json.write_text(json.dumps(rows, indent=1))
    except ValueError as error:
        sys.exit(f"query: {error}")
    title = f"{flags.data.name}: {flags.queries} queries, {log.n_items:,} items, hit rate at {FIRST}"
    show(rows, f"{title}; {describe_machine('torch')}")


def split_long_titles(log: KnownLog) -> dict[int, list[str]]:
    """The words of each title that has enough of them, each once, by item. raises ValueError if there is none"""
    titles = {item: sorted(set(split(row["title"] or ""))) for item, row in enumerate(log.catalogue.items)}
    long_titles = {item: words for item, words in titles.items() if len(words) >= max(COUNTS)}
    if not long_titles:
        raise ValueError(f"no item of the log has a title of {max(COUNTS)} words or more: there is nothing to ask for")
    return long_titles


def measure(
    model: Generator, log: KnownLog, titles: dict[int, list[str]], count: int, n_words: int, seed: int
) -> dict[str, float]:
    """How often the item is among the first ten of each list."""
    rng = np.random.default_rng([seed, n_words])
    targets = rng.choice(list(titles), count)
    queries = [" ".join(rng.permutation(titles[item])[:n_words]) for item in targets]
    encoder = Encoder()
    embed_with = SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens)
    vectors = embedder.embed(embed_with, queries, tokens_per_batch=encoder.tokens_per_batch)
    is_listed, hits = torch.ones(log.n_items, dtype=torch.bool, device=model.device), np.zeros(len(COLUMNS))
    for item, query, vector in zip(targets, queries, torch.from_numpy(vectors), strict=True):
        lists = find_lists(model, Words.read([query]), vector.unsqueeze(0), is_listed, BEAM)
        lists["joined"] = [joined for joined, _ in join_lists(lists, FIRST)]
        hits += [item in lists[name][:FIRST] for name in COLUMNS]
    return dict(zip(COLUMNS, (hits / count).tolist(), strict=True))


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    for name in ("words of the title", *COLUMNS):
        table.add_column(name, justify="right")
    for n_words in COUNTS:
        seed_rows = [row for row in rows if row["title_words"] == n_words]
        rates = {name: [row[name] for row in seed_rows] for name in COLUMNS}
        table.add_row(str(n_words), *(f"{np.mean(rates[name]):.3f} ± {np.std(rates[name]):.3f}" for name in COLUMNS))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
