"""How often is the item that a user chooses next among the best 5, 10 or 50 of all items?

    make bench B=generate ARGS="--data <amazon_beauty> [--presets popular graph sidereal] [--seeds 0 1 2]
                                [--orders raw shuffled] [--split leave_one_out] [--language-model <folder>]
                                [--json FILE]"

Events are clicks, purchases and ratings of 4 and more. Every row ranks all items of the log, without those that the
user has chosen before. An item that scores as high as the right one is ranked before it.

    --split leave_one_out  the last event of each user is the test, the last but one is for validation, training sees
                           neither
    --split time           the first 70 % of the events are for training, the next 10 % for validation. The test are the
                           last 20 %: all items that a user chooses then for the first time. Users without an earlier
                           event are left out.
    --orders raw           in the order of the log
    --orders shuffled      events of one user on one day in random order, another one for each seed. Some logs sort the
                           events of a day by item, so their order reveals the next item.

Presets:

    popular      the number of events of each item
    graph        the untrained item graph: which items follow which
    graph_text   the same, and the cosine between MiniLM vectors of the items' texts
    graph_words  the same with TF-IDF vectors of the words of these texts
    sidereal     and the other designs of models/generator: trained, stopped by validation. Semantic IDs: 3 x 256 codes
                 of the MiniLM vectors, and a number for items with the same ones. A design that writes codes is
                 measured by the list of 50 items that its beam finds.
    lc_rec       a language model that writes semantic IDs of texts, or of behaviour (semantic_convergence): trained by
                 the settings of [generator], as in a daily run. They need --language-model, a folder with config.json,
                 tokenizer and *.safetensors, and are not among the default presets
    fused_ranks  the lists of sidereal and graph_words, joined by reciprocal rank fusion. [recommend] order = "fused"
                 joins the lists of generator, plain graph and ranker by the same rule
    fused        what sidereal, graph_words and popular find, ranked by a small network that the validation items train

Columns, mean and standard deviation over the seeds:

    R@k                users whose next item is among the best k; with several next items, the share of them that is (of
                       k, if there are more)
    N@k                the same with discounted ranks (NDCG)
    R@10 new           over items that no training row has
    seconds            until the preset has learned; for the fused ones without sidereal if that was just trained
    users per second   scoring all items

--json also writes peak_mib: the most memory that the process had, with the log and what earlier presets left. The rows
of other authors below the table are their own numbers; their protocols differ in details, such as whether seen items
are removed.
"""

import json
import math
import os
import sys
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import numpy as np
from common import PeakMemory, build_parser, describe_machine
from generate_log import Events, Learn, Order, Scores, SequenceLog, Split
from generate_presets import PRESETS, USES_TEXT
from generate_published import AMAZON_BEAUTY
from rich.console import Console
from rich.table import Table

from jobs.generation.language_model_folder import check_folder
from jobs.lake import UserError
from models.generator.ranks import ndcg_at, rank_targets, recall_at
from models.generator.tasks import PRESETS as LANGUAGE_MODELS
from models.ranker.histories import Int64s

Row = dict[str, Any]
ROWS_AT_ONCE = 1024
METRICS = {"r_at_5": "R@5", "r_at_10": "R@10", "n_at_5": "N@5", "n_at_10": "N@10", "r_at_50": "R@50",
           "new_r_at_10": "R@10 new"}  # fmt: skip


def measure(preset: str, learn: Learn, log: SequenceLog, seed: int) -> Row:
    if preset in USES_TEXT:
        _ = log.known.catalogue.vectors  # made once, before the first measurement
    with PeakMemory(os.getpid()) as peak:
        started = perf_counter()
        scores = learn(log.known, seed)
        seconds = perf_counter() - started
        ranks, scoring_seconds = rank_test(log, scores)
    rows, is_new = log.test.target_rows, ~np.isin(log.test.target_items, log.known.train_items())
    new = recall_at(10, ranks[is_new], rows[is_new])
    return {
        "r_at_5": recall_at(5, ranks, rows), "r_at_10": recall_at(10, ranks, rows),
        "n_at_5": ndcg_at(5, ranks, rows), "n_at_10": ndcg_at(10, ranks, rows), "r_at_50": recall_at(50, ranks, rows),
        "new_r_at_10": None if math.isnan(new) else new, "seconds": round(seconds, 2),
        "peak_mib": round(peak.mib), "users_per_second": round(len(log.test.users) / scoring_seconds),
    }  # fmt: skip


def rank_test(log: SequenceLog, scores: Scores) -> tuple[Int64s, float]:
    """The rank of every test target [targets], and the seconds that scoring took."""
    ranks, seconds, begins, test = [], 0.0, log.histories.offsets, log.test
    for start in range(0, len(test.users), ROWS_AT_ONCE):
        users, ends = (column[start : start + ROWS_AT_ONCE] for column in (test.users, test.ends))
        started = perf_counter()
        row_scores = scores(log.histories, users, ends)
        seconds += perf_counter() - started
        first, stop = np.searchsorted(test.target_rows, [start, start + len(users)])
        targets = test.target_rows[first:stop] - start, test.target_items[first:stop]
        seen_rows = np.repeat(np.arange(len(users)), ends - begins[users])
        seen = np.concatenate([log.histories.items[begins[u] : e] for u, e in zip(users, ends, strict=True)])
        ranks.append(rank_targets(row_scores, targets, (seen_rows, seen)))
    return np.concatenate(ranks), seconds


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--split", choices=get_args(Split), default="leave_one_out")
    parser.add_argument("--presets", nargs="+", choices=[*PRESETS, *LANGUAGE_MODELS], default=list(PRESETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--orders", nargs="+", choices=get_args(Order), default=list(get_args(Order)))
    parser.add_argument("--language-model", type=Path, help="its folder, for lc_rec and semantic_convergence")
    flags = parser.parse_args()
    presets = PRESETS | load_language_presets(flags.presets, flags.language_model)
    rows: list[Row] = []
    try:
        events = Events.read(flags.data)
        for order in flags.orders:
            for seed in flags.seeds:
                log = events.arrange(flags.split, order, seed)
                for preset in flags.presets:
                    names = {"preset": preset, "split": flags.split, "order": order, "seed": seed}
                    rows.append(names | measure(preset, presets[preset], log, seed))
                    print(rows[-1], file=sys.stderr, flush=True)
                    if flags.json:
                        flags.json.write_text(json.dumps(rows, indent=1))
    except (ValueError, UserError) as error:
        sys.exit(f"generate: {error}")
    size = f"{len(log.test.users):,} users, {log.known.n_items:,} items"
    show(rows, f"{flags.data.name}, {flags.split.replace('_', ' ')}: {size}; {describe_machine('scipy', 'torch')}")
    if flags.data.name == "amazon_beauty" and flags.split == "leave_one_out":
        show_published()


def load_language_presets(names: list[str], folder: Path | None) -> dict[str, Learn]:
    """The presets among the names that are a language model. Ends the bench with a sentence if there is no folder."""
    if not (wanted := [name for name in names if name in LANGUAGE_MODELS]):
        return {}
    if folder is None:
        sys.exit(f"generate: --presets {' '.join(wanted)} needs a language model: add --language-model <folder>")
    try:
        check_folder(folder, "--language-model")
    except UserError as error:
        sys.exit(f"generate: {error}")
    from generate_language_models import learn_language_model  # slow to import

    return {name: partial(learn_language_model, name, folder) for name in wanted}


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    columns = METRICS | {"seconds": "seconds", "users_per_second": "users per second"}
    for name in ("order", "preset", *columns.values()):
        table.add_column(name, justify="left" if name in ("order", "preset") else "right")
    for key in dict.fromkeys((row["order"], row["preset"]) for row in rows):
        seed_rows = [row for row in rows if (row["order"], row["preset"]) == key]
        table.add_row(*key, *(format_spread([row[name] for row in seed_rows], name in METRICS) for name in columns))
    Console(width=180).print(table)


def format_spread(values: list[float | None], is_share: bool) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{np.mean(known):.4f} ± {np.std(known):.4f}" if is_share else f"{np.mean(known):,.1f}"


def show_published() -> None:
    table = Table(title="Published by others, from low to high")
    for name in ("model", "R@10", "N@10", "source"):
        table.add_column(name, justify="right" if "@" in name else "left")
    for model, r_at_10, n_at_10, source in AMAZON_BEAUTY:
        table.add_row(model, *(f"{value:.4f}" if value else "-" for value in (r_at_10, n_at_10)), source)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
