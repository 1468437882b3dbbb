"""How much better does item-to-item retrieval become when the encoder is tuned on Swing pairs?

    make bench B=align ARGS="--data <landing folder> --by users|time [--json align.json]"

Swing finds training pairs in one part of the log and test pairs in the rest. With `--by users` the rest is a random
fifth of the users, drawn by the seed. With `--by time` it is the last fifth of the days. The encoder and the settings
are those of PROFILE (by default small) and of SIDEREAL_ALIGN__...

--choose  is for trying settings: it leaves the rest alone and splits the training part again.
--judge   tunes the encoder twice: on all training pairs, and on those that the language model of [judge.llm.swing]
          keeps.

Columns, those of a measure once before and once after tuning:

    trained on  all training pairs, or those that the language model keeps (llm)
    split       of the test pairs: seen (both items are in training pairs, this pair is not), unseen (at least one item
                is in no training pair) or trained (the pair is a training pair)
    pairs       number of test pairs
    hr at K     share of test pairs, in both directions, whose other item is among the K most similar items. Partners
                from training pairs are removed from the ranking first.
    among all   the same, but these partners stay in the ranking
    collision   share of items that have the same semantic ID as another item
    train pairs, seconds   number of pairs that the encoder is tuned on, and time of the tuning
"""

import json
import os
import sys
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from common import build_parser, describe_machine
from items import build_item_text, read_items
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from swing import EventLog, index_pairs

from jobs.codebooks.settings import Quantizer
from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Align
from jobs.item_pairs.language_model import open_llm
from jobs.item_pairs.llm_judge import LlmJudge
from jobs.item_pairs.settings import Pairs
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings, load_settings
from models.encoder import embedder
from models.encoder.retrieval import hit_rates
from models.encoder.sentence_embedder import TunableSentence
from models.encoder.tuning import Plan, tune
from models.llm.item_text import item_json
from models.quantizers import measure_collisions
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

Row = dict[str, Any]
Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]
PairsBySplit = dict[str, Indices]
POSITION = {  # SQL: position of an event in the log, from 0 to 1
    "users": "(1 - CAST('0x' || substr(md5(user_id || '-{seed}'), 1, 8) AS UBIGINT) / 4294967296)",
    "time": "((day - (SELECT min(day) FROM log)) / (SELECT max(day) - min(day) FROM log))",
}


def split_pairs(log: EventLog, items: list[str], by: str, seed: int, share: float) -> tuple[Indices, PairsBySplit]:
    """Find the training pairs [pairs, 2] and the test pairs [pairs, 2] of each split.

    share  use only this first share of the log; its last fifth gives the test pairs
    """
    position, caps = POSITION[by].format(seed=seed), Pairs()
    index = {item: n for n, item in enumerate(items)}
    train = index_pairs(log.find_pairs(f"{position} <= {0.8 * share}", caps), index)
    test = index_pairs(log.find_pairs(f"{position} > {0.8 * share} AND {position} <= {share}", caps), index)
    known = {tuple(sorted(pair)) for pair in train.tolist()}
    new = np.array([tuple(sorted(pair)) not in known for pair in test.tolist()], bool)
    seen = np.isin(test, train).all(axis=1)
    test_pairs = {"seen": test[seen & new], "unseen": test[~seen], "trained": test[~new]}
    counts = ", ".join(f"{len(pairs):,} {split}" for split, pairs in test_pairs.items())
    print(f"seed {seed}: {len(train):,} training pairs; test pairs: {counts}", file=sys.stderr)
    return train, test_pairs


def judge_pairs(pairs: Indices, items: dict[str, Row], settings: Settings) -> Indices:
    """Keep the pairs to which the language model says yes."""
    texts = {item: item_json(row) for item, row in items.items()}
    llm, names = settings.judge.llm, list(items)
    model = cache(lambda: open_llm(llm.swing, "judge.llm.swing"))
    judge = LlmJudge("bench", lambda _: texts, model, llm.reasoning, llm.swing.max_new_tokens)
    report_progress = progress("judging pairs", every=30)
    accepted = set()
    for done, (pair, verdict) in enumerate(judge.judge([(names[a], names[b]) for a, b in pairs]), start=1):
        accepted |= {pair} if verdict.verdict == "yes" else set()
        report_progress(done, len(pairs))
    return pairs[[(names[a], names[b]) in accepted for a, b in pairs]]


def measure(vectors: Vectors, train: Indices, test_pairs: PairsBySplit, seed: int) -> dict[str, dict[str, float]]:
    """Hit rates of each split, and the share of items that have the same semantic ID as another item."""
    q = Quantizer()
    x = torch.from_numpy(vectors)
    book = ResKmeansFSQ.fit(x, sizes=q.sizes, seed=seed, kmeans_iterations=q.kmeans_iterations, fsq_steps=q.fsq_steps)
    collision = measure_collisions(book.encode(x))["collision_rate"]
    measures = {}
    for split, pairs in test_pairs.items():
        rates = hit_rates(vectors, pairs, (10, 50), known=train)
        among_all = hit_rates(vectors, pairs, (10,))[10]
        measures[split] = {
            "hr_at_10": rates[10], "hr_at_50": rates[50], "hr_at_10_among_all": among_all, "collision": collision
        }  # fmt: skip
    return measures


def build_plan(align: Align, seed: int) -> Plan:
    """Tuning plan of the settings, without questions."""
    return Plan(
        steps=align.steps, items_per_batch=align.items_per_batch, items_per_chunk=align.items_per_chunk, lr=align.lr,
        temperature=align.temperature, answer_weight=0.0, seed=seed,
    )  # fmt: skip


def compare_tuning(
    texts: list[str], pairs: Indices, train: Indices, test_pairs: PairsBySplit, seed: int, settings: Settings
) -> list[Row]:
    """Measure before and after tuning on `pairs`, which are some or all of the training pairs `train`."""
    align, encoder = settings.align, settings.encoder
    model = TunableSentence(encoder_location(encoder), texts, max_tokens=encoder.max_tokens)

    def embed_and_measure() -> dict[str, dict[str, float]]:
        vectors = embedder.embed(model.sentence, texts, tokens_per_batch=encoder.tokens_per_batch)
        return measure(vectors, train, test_pairs, seed)

    before, started = embed_and_measure(), perf_counter()
    plan = build_plan(align, seed)
    tune(model, model.collate, pairs, len(texts), plan, progress=progress("tuning", every=30))
    seconds, after = perf_counter() - started, embed_and_measure()
    return [
        {"split": split, "seed": seed, "pairs": len(test_pairs[split])}
        | {f"{name}_{when}": round(value[name], 4)
           for name in before[split]
           for when, value in (("before", before[split]), ("after", after[split]))}
        | {"train_pairs": len(pairs), "seconds": round(seconds)}
        for split in test_pairs
    ]  # fmt: skip


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--by", choices=sorted(POSITION), required=True)
    parser.add_argument("--choose", action="store_true", help="leave the last fifth alone")
    parser.add_argument("--judge", action="store_true", help="also tune on the pairs that a language model keeps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "small")
    items, log, settings = read_items(flags.data), EventLog.read(flags.data), load_settings()
    texts = list(map(build_item_text, items.values()))
    rows: list[Row] = []
    for seed in flags.seeds:
        train, test_pairs = split_pairs(log, list(items), flags.by, seed, 0.8 if flags.choose else 1.0)
        pairs_by_way = {"all": train} | ({"llm": judge_pairs(train, items, settings)} if flags.judge else {})
        for way, pairs in pairs_by_way.items():
            measured_rows = compare_tuning(texts, pairs, train, test_pairs, seed, settings)
            rows += [{"trained_on": way, **row} for row in measured_rows]
        if flags.json:
            flags.json.write_text(json.dumps(rows, indent=1))
    show(rows, f"{flags.data.name}, {len(texts):,} items, {settings.align.steps} steps; {describe_machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column in ("split", "trained_on") else "right")
    for row in sorted(rows, key=lambda row: (row["trained_on"], row["split"], row["seed"])):
        table.add_row(*(str(value) for value in row.values()))
    console = Console(width=230)
    console.print(table)
    for way, split in dict.fromkeys((row["trained_on"], row["split"]) for row in rows):
        seed_rows = [row for row in rows if (row["trained_on"], row["split"]) == (way, split)]
        for name in ("hr_at_10", "hr_at_50", "hr_at_10_among_all"):
            gains = [row[f"{name}_after"] / row[f"{name}_before"] - 1 for row in seed_rows if row[f"{name}_before"]]
            if gains:
                summary = f"{np.mean(gains):+.1%} (spread {min(gains):+.1%} to {max(gains):+.1%})"
                console.print(f"tuned on {way} pairs, {split}, {name}: {summary}")


if __name__ == "__main__":
    main()
