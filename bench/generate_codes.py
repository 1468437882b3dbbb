"""Which semantic IDs can a generator predict best?

    make bench B=generate_codes ARGS="--data <amazon_beauty> [--ways text behaviour letter] [--seeds 0] [--json FILE]"

Fits each kind of codes on the same items. Then the same small generator learns to write them: it reads and writes codes
alone, so nothing but the codes decides. The log is split as in bench/generate.py (leave one out, raw order), and a list
has the 50 items that a beam of 64 finds. Behaviour is learned from the events of training alone.

Ways: what is quantized, how, and the sizes of the levels. Those that say no sizes have 3 x 256.

    text            res_kmeans_fsq of MiniLM vectors of the items' texts: what the task quantize fits by default
    behaviour       the same of LightGCN vectors ([quantizer] vectors = "behaviour")
    text_behaviour  the same of vectors of both
    res_kmeans      residual k-means of the texts (OneRec)
    rq_vae          TIGER's quantizer of the texts
    letter          the same with LETTER's two losses: codes that follow behaviour, and are used equally
    2x256 ... 5x256 res_kmeans with another number of levels
    3x64 ... 3x4096 res_kmeans_fsq of the texts with other sizes

Columns, mean and standard deviation over the seeds: see bench/generate.py, and

    collision  share of items that have the same codes as another item; a number after the codes tells them apart
    seconds    until the generator has learned, without the codes
"""

import json
import sys
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from common import build_parser, describe_machine
from generate import format_spread, rank_test
from generate_log import Events, KnownLog, SequenceLog
from generate_models import learn_behaviour, number_codes, score_by_beam, train_on_codes
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models import collaborative, quantizers
from models.generator.design import Design
from models.generator.ranks import ndcg_at, recall_at
from models.quantizers import measure_collisions

DESIGN = Design(("codes",), ("codes",), layers=1)
USUAL = (256, 256, 256)
SIZES = {
    "2x256": (256, 256), "4x256": (256,) * 4, "5x256": (256,) * 5, "3x64": (64,) * 3, "3x1024": (1024,) * 3,
    "3x4096": (4096,) * 3,
}  # fmt: skip
WAYS = ("text", "behaviour", "text_behaviour", "res_kmeans", "rq_vae", "letter", *SIZES)
DIVERSITY = 1e-4  # the weight of LETTER's loss of that name
COLUMNS = {"r_at_10": "R@10", "n_at_10": "N@10", "r_at_50": "R@50", "collision": "collision", "seconds": "seconds"}
Row = dict[str, Any]


def build_codes(way: str, log: KnownLog, seed: int) -> tuple[Tensor, Tensor]:
    """The items with codes [items] bool, and their codes [items with codes, levels]."""
    text = torch.from_numpy(log.catalogue.vectors)
    vectors, has_vector, settings = text, text.any(dim=1), dict[str, Any]()
    kind = {"res_kmeans": "res_kmeans", "rq_vae": "rq_vae", "letter": "rq_vae"}.get(way, "res_kmeans_fsq")
    sizes = SIZES.get(way, USUAL)
    if len(sizes) != len(USUAL):  # res_kmeans_fsq has three levels
        kind = "res_kmeans"
    if way in ("behaviour", "text_behaviour", "letter"):
        behaviour = learn_lightgcn(log, seed)
        if way == "behaviour":
            vectors, has_vector = behaviour.vectors, behaviour.has_vector
        elif way == "text_behaviour":
            vectors = collaborative.combine(text, behaviour.vectors, behaviour.has_vector)
            has_vector = vectors.any(dim=1)
        else:
            settings = {"collaborative": behaviour.vectors[has_vector], "diversity_weight": DIVERSITY}
    known = vectors[has_vector]
    book = quantizers.fit(kind, known, sizes=sizes, seed=seed, **settings)
    return has_vector, book.encode(known)


@lru_cache(maxsize=1)
def learn_lightgcn(log: KnownLog, seed: int) -> collaborative.BehaviourVectors:
    return learn_behaviour(log, "lightgcn", seed)


def measure(way: str, log: SequenceLog, seed: int) -> Row:
    has_codes, codes = build_codes(way, log.known, seed)
    started = perf_counter()
    model = train_on_codes(DESIGN, log.known, number_codes(has_codes.numpy(), codes.numpy()), seed)
    seconds = perf_counter() - started
    ranks, rows = rank_test(log, score_by_beam(model))[0], log.test.target_rows
    return {
        "way": way, "seed": seed, "r_at_10": recall_at(10, ranks, rows), "n_at_10": ndcg_at(10, ranks, rows),
        "r_at_50": recall_at(50, ranks, rows), "collision": measure_collisions(codes)["collision_rate"],
        "seconds": round(seconds, 1),
    }  # fmt: skip


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    flags = parser.parse_args()
    try:
        log = Events.read(flags.data).arrange("leave_one_out", "raw", 0)
    except ValueError as error:
        sys.exit(f"generate_codes: {error}")
    rows: list[Row] = []
    for seed in flags.seeds:
        for way in flags.ways:
            rows.append(measure(way, log, seed))
            print(rows[-1], file=sys.stderr, flush=True)
            if flags.json:
                flags.json.write_text(json.dumps(rows, indent=1))
    size = f"{len(log.test.users):,} users, {log.known.n_items:,} items"
    table = Table(title=f"{flags.data.name}: {size}; {describe_machine('torch')}")
    table.add_column("way")
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    for way in flags.ways:
        values = {key: [row[key] for row in rows if row["way"] == way] for key in COLUMNS}
        table.add_row(way, *(format_spread(values[key], key != "seconds") for key in COLUMNS))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
