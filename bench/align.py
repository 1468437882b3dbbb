"""What tuning the encoder on Swing pairs is worth: item-to-item retrieval and collisions, before and after.

    make bench B=align ARGS="--data <landing folder> --by users|time [--json align.json]"

Pairs of one part of the log are trained on, pairs that the rest gives are searched: HR@K = share of them (both
directions) whose other item is among the K most similar of all items, but for those that the training pairs name as
its partners already; `among_all`: with those. `seen`: both items are in training pairs, the pair is not; `unseen`: at
least one item is in none; `trained`: pairs of the rest that were trained on. By users: a fifth of them, drawn by the
seed, is the rest. By time: the last fifth of the days. With --choose the rest is left alone, and the training part is
split in its place: for whoever tries settings. With --judge the encoder is tuned twice: on all training pairs, and on
those that the language model of [judge.llm.swing] keeps. The settings are those of PROFILE (here small, if none is
named) and of SIDEREAL_ALIGN__...; asserts nothing.
"""

import argparse
import json
import os
import sys
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from common import machine
from items import item_rows, item_text
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from swing import Log, indices

from jobs.codebooks.settings import Quantizer
from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Align
from jobs.item_pairs.judges import LlmJudge
from jobs.item_pairs.language_model import open_llm
from jobs.item_pairs.settings import Pairs
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings, load_settings
from models.encoder import embedder
from models.encoder.retrieval import hit_rates
from models.encoder.sentence_embedder import TunableSentence
from models.encoder.tuning import Plan, tune
from models.llm.item_text import item_json
from models.quantizers import collisions
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

Row = dict[str, Any]
Vectors = NDArray[np.float32]
Places = NDArray[np.int64]
Searched = dict[str, Places]
PLACE = {  # of an event in the log, from 0 to 1
    "users": "(1 - CAST('0x' || substr(md5(user_id || '-{seed}'), 1, 8) AS UBIGINT) / 4294967296)",
    "time": "((day - (SELECT min(day) FROM log)) / (SELECT max(day) - min(day) FROM log))",
}


def parts(log: Log, items: list[str], by: str, seed: int, last: float) -> tuple[Places, Searched]:
    """[pairs, 2] to train on, and to search for by split.

    last  which share of the log is looked at: the last fifth of it is searched
    """
    at, caps = PLACE[by].format(seed=seed), Pairs()
    place = {item: n for n, item in enumerate(items)}
    train = indices(log.pairs(f"{at} <= {0.8 * last}", caps), place)
    found = indices(log.pairs(f"{at} > {0.8 * last} AND {at} <= {last}", caps), place)
    known = {tuple(sorted(pair)) for pair in train.tolist()}
    new = np.array([tuple(sorted(pair)) not in known for pair in found.tolist()], bool)
    seen = np.isin(found, train).all(axis=1)
    searched = {"seen": found[seen & new], "unseen": found[~seen], "trained": found[~new]}
    counts = ", ".join(f"{len(pairs):,} {split}" for split, pairs in searched.items())
    print(f"seed {seed}: {len(train):,} pairs to train on; to search for: {counts}", file=sys.stderr)
    return train, searched


def kept(pairs: Places, items: dict[str, Row], settings: Settings) -> Places:
    """The pairs that a language model says yes to."""
    texts = {item: item_json(row) for item, row in items.items()}
    llm, names = settings.judge.llm, list(items)
    model = cache(lambda: open_llm(llm.swing, "judge.llm.swing"))
    judge = LlmJudge("bench", lambda _: texts, model, llm.reasoning, llm.swing.max_new_tokens)
    tell = progress("judging pairs", every=30)
    yes = set()
    for done, (pair, verdict) in enumerate(judge.judge([(names[a], names[b]) for a, b in pairs]), start=1):
        yes |= {pair} if verdict.verdict == "yes" else set()
        tell(done, len(pairs))
    return pairs[[(names[a], names[b]) in yes for a, b in pairs]]


def measured(vectors: Vectors, train: Places, searched: Searched, seed: int) -> dict[str, dict[str, float]]:
    """HR of each split, and the share of items whose semantic ID another item has."""
    q = Quantizer()
    x = torch.from_numpy(vectors)
    book = ResKmeansFSQ.fit(x, sizes=q.sizes, seed=seed, kmeans_iterations=q.kmeans_iterations, fsq_steps=q.fsq_steps)
    collision = collisions(book.encode(x))["collision_rate"]
    found = {}
    for split, pairs in searched.items():
        rates = hit_rates(vectors, pairs, (10, 50), known=train)
        among_all = hit_rates(vectors, pairs, (10,))[10]
        found[split] = {
            "hr_at_10": rates[10], "hr_at_50": rates[50], "hr_at_10_among_all": among_all, "collision": collision
        }  # fmt: skip
    return found


def plan_of(align: Align, seed: int) -> Plan:
    """How the settings have the encoder tuned, on no questions."""
    return Plan(
        steps=align.steps, items_per_batch=align.items_per_batch, items_per_chunk=align.items_per_chunk, lr=align.lr,
        temperature=align.temperature, answer_weight=0.0, seed=seed,
    )  # fmt: skip


def tuned(
    texts: list[str], pairs: Places, train: Places, searched: Searched, seed: int, settings: Settings
) -> list[Row]:
    """What is found before and after tuning on some of the training pairs; all of these count as known."""
    align, encoder = settings.align, settings.encoder
    model = TunableSentence(encoder_location(encoder), texts, max_tokens=encoder.max_tokens)

    def look() -> dict[str, dict[str, float]]:
        vectors = embedder.embed(model.sentence, texts, tokens_per_batch=encoder.tokens_per_batch)
        return measured(vectors, train, searched, seed)

    before, started = look(), perf_counter()
    plan = plan_of(align, seed)
    tune(model, model.collate, pairs, len(texts), plan, progress=progress("tuning", every=30))
    seconds, after = perf_counter() - started, look()
    return [
        {"split": split, "seed": seed, "pairs": len(searched[split])}
        | {f"{name}_{when}": round(value[name], 4)
           for name in before[split]
           for when, value in (("before", before[split]), ("after", after[split]))}
        | {"train_pairs": len(pairs), "seconds": round(seconds)}
        for split in searched
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--by", choices=sorted(PLACE), required=True)
    parser.add_argument("--choose", action="store_true", help="leave the last fifth alone")
    parser.add_argument("--judge", action="store_true", help="tune on pairs that a language model keeps as well")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "small")
    items, log, settings = item_rows(flags.data), Log.read(flags.data), load_settings()
    texts = list(map(item_text, items.values()))
    rows: list[Row] = []
    for seed in flags.seeds:
        train, searched = parts(log, list(items), flags.by, seed, 0.8 if flags.choose else 1.0)
        ways = {"all": train} | ({"llm": kept(train, items, settings)} if flags.judge else {})
        for way, pairs in ways.items():
            found = tuned(texts, pairs, train, searched, seed, settings)
            rows += [{"trained_on": way, **row} for row in found]
        if flags.json:
            flags.json.write_text(json.dumps(rows, indent=1))
    _show(rows, f"{flags.data.name}, {len(texts):,} items, {settings.align.steps} steps; {machine('torch')}")


def _show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column in ("split", "trained_on") else "right")
    for row in sorted(rows, key=lambda row: (row["trained_on"], row["split"], row["seed"])):
        table.add_row(*(str(value) for value in row.values()))
    console = Console(width=230)
    console.print(table)
    for way, split in dict.fromkeys((row["trained_on"], row["split"]) for row in rows):
        mine = [row for row in rows if (row["trained_on"], row["split"]) == (way, split)]
        for name in ("hr_at_10", "hr_at_50", "hr_at_10_among_all"):
            gain = [row[f"{name}_after"] / row[f"{name}_before"] - 1 for row in mine if row[f"{name}_before"]]
            if gain:
                told = f"{np.mean(gain):+.1%} (spread {min(gain):+.1%} to {max(gain):+.1%})"
                console.print(f"tuned on {way} pairs, {split}, {name}: {told}")


if __name__ == "__main__":
    main()
