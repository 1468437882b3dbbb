"""How often does a challenger pass the gate that is better than the champion, equal to it, or worse?

    make run
    make bench B=gate ARGS="--lake lake --days 2026-11-19 2026-11-20 [--seeds 40] [--json FILE]"

Trains the challenger of each day with many seeds, from random weights, on the rows that `train` reads, and scores the
test rows as served. Any two seeds are the same recipe: an A/A study. For a model that is worse by a known number of
points of AUC, noise is added to the logits of one of the two. Pairs of challenger and champion are drawn at random. The
bench only reads the lake.

Rows: how many points of AUC (hundredths) the challenger is better than the champion. Columns, the share of pairs in
which the challenger goes live:

    any gain    the rule until commit bcc8b25: its AUC is higher
    one day     the gate, by what is known of one day; mean over the days
    all days    the gate, by all days together, as if the champion had been live since the first day
    margin x    the same as `one day` with `[gate] max_drop = x`
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from common import build_parser, describe_machine
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import expit, logit

from jobs.codebooks.store import find_live_codebook
from jobs.encoders.tuned_encoders import live_encoder
from jobs.lake import Lake, UserError
from jobs.ranking.as_served import limit_to_served
from jobs.ranking.build import build_ranker, challenger_design
from jobs.ranking.dataset import load_dataset
from jobs.ranking.evaluation import ScoredModel, build_slices, measure_difference, measure_model, score_test_rows
from jobs.ranking.items import load_item_features
from jobs.ranking.model_inputs import build_model_inputs
from jobs.ranking.train_worker import fit_ranker
from jobs.release.evidence import find_objection, pool
from jobs.release.settings import Gate
from jobs.settings.tree import Settings, load_settings
from models.metrics import auc
from models.ranker.validation import fit_line

Row = dict[str, Any]
Floats = NDArray[np.float64]
POINTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
MARGINS = (0.0, 0.0025, 0.005, 0.01)
STEPS = 12  # of the bisection for the noise that costs so many points


class Day:
    """The test rows of a day, and the scores [seeds, rows] of its challengers."""

    def __init__(self, lake: Lake, settings: Settings, day: date, seeds: int) -> None:
        encoder = live_encoder(lake, settings, day).version
        codebook = find_live_codebook(lake, settings.quantizer, encoder, day)
        if codebook is None:
            raise UserError(f"there is no codebook of {day}: run the day first")
        items = load_item_features(lake, settings, encoder, codebook.version)
        dataset = load_dataset(lake, settings, items, day)
        self.dataset, self.settings = limit_to_served(dataset, day), settings
        design = challenger_design(settings.ranker)
        inputs = build_model_inputs(dataset, dataset.train, settings, design)
        options = settings.ranker.model_dump(include={"epochs", "lr", "valid_share", "patience"})
        scores = []
        for seed in track(range(seeds), f"training for {day}"):
            changed = settings.model_copy(update={"ranker": settings.ranker.model_copy(update={"seed": seed})})
            self.model = build_ranker(dataset, changed, design)
            fit_ranker(
                self.model, inputs.columns(), "challenger", seed=seed, batch_size=settings.ranker.batch, **options
            )
            scores.append(score_test_rows(self.dataset, settings, self.model)[:, 0])
        self._slice = build_slices(self.dataset, self.model)["as_served"]
        self.scores: Floats = np.stack(scores).astype(np.float64)

    def worsen(self, points: float) -> Floats:
        """The scores, with as much noise on the logits as costs so many points of AUC in the mean.

        Then a scale and a shift of the logits undo what the noise did to the mean and the spread of the probabilities.
        """
        logits = logit(self.scores)
        noise = np.random.default_rng(0).standard_normal(logits.shape)
        goal, low, high = self.measure_auc(self.scores) - points / 100, 0.0, 8.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            is_enough = self.measure_auc(logits + middle * noise) < goal
            low, high = (low, middle) if is_enough else (middle, high)
        noisy = logits + high * noise
        lines = [fit_line(expit(row), scores) for row, scores in zip(noisy, self.scores, strict=True)]
        scales, shifts = np.array(lines).T[:, :, None]
        worse: Floats = expit(noisy * scales + shifts)
        return worse

    def measure_auc(self, scores: Floats) -> float:
        """The mean AUC of scores [models, rows]."""
        labels, users = self.dataset.test.labels[:, 0], self.dataset.test.user
        return float(np.mean([auc(labels, row, users) for row in scores]))

    def compare(self, challenger: Floats, champion: Floats) -> tuple[Row, Row, Row]:
        """What the gate reads of a challenger, of a champion and of their difference, by metric."""
        ours, theirs = self._score(challenger), self._score(champion)
        rows = measure_difference(ours, theirs, "", self.dataset.test, self.settings)
        differences = {row["metric"]: row for row in rows if row["slice"] == "as_served"}
        return self._measure_model(ours), self._measure_model(theirs), differences

    def _measure_model(self, model: ScoredModel) -> Row:
        rows = measure_model("", model, self.dataset, {"as_served": self._slice}, self.settings)
        return {row["metric"]: row for row in rows}

    def _score(self, scores: Floats) -> ScoredModel:
        column = scores[:, None]
        return ScoredModel(self.model, "", {"as_served": column, "up_to_the_moment": column})


def decide_pairs(days: list[Day], points: float, pairs: int, seed: int) -> Iterator[Row]:
    """The decisions about pairs of challenger and champion, of which one is so many points of AUC better."""
    rng = np.random.default_rng(seed)
    worse = [day.worsen(abs(points)) if points else day.scores for day in days]
    for _ in track(range(pairs), f"{points:+.1f} points"):
        ours, theirs = rng.choice(len(days[0].scores), 2, replace=False)
        compared = []
        for day, worsened in zip(days, worse, strict=True):
            challenger = (worsened if points < 0 else day.scores)[ours]
            champion = (worsened if points > 0 else day.scores)[theirs]
            compared.append(day.compare(challenger, champion))
        yield {"points": points} | _ask_gate(compared)


def _ask_gate(compared: list[tuple[Row, Row, Row]]) -> Row:
    """The share of days on which the challenger goes live, by each rule."""

    def is_live(number: int, before: list[Row], margin: float) -> bool:
        ours, theirs, own = compared[number]
        return find_objection(pool(own["auc"], before), ours, theirs, own["log_loss"], Gate(max_drop=margin)) is None

    by_day = [differences["auc"] for _, _, differences in compared]
    numbers, margin = range(len(compared)), Gate().max_drop
    shares = {f"margin {x}": np.mean([is_live(number, [], x) for number in numbers]).item() for x in MARGINS}
    return {
        "any gain": np.mean([row["value"] > 0 for row in by_day]).item(),
        "one day": shares[f"margin {margin}"],
        "all days": float(is_live(len(compared) - 1, by_day[:-1], margin)),
        "half interval": np.mean([(row["ci_high"] - row["ci_low"]) / 2 for row in by_day]).item(),
    } | shares


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--lake", required=True, type=Path, help="folder of a lake that `make run` wrote")
    parser.add_argument("--days", required=True, type=date.fromisoformat, nargs="+", help="as 2026-11-20")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=200)
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "demo")
    try:
        lake, settings = Lake(flags.lake, run_id="bench"), load_settings()
        days = [Day(lake, settings, day, flags.seeds) for day in flags.days]
    except UserError as error:
        sys.exit(f"gate: {error}")
    rows = [row for points in POINTS for row in decide_pairs(days, points, flags.pairs, seed=0)]
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    names = [name for name in rows[0] if name != "points"]
    spread = [float(np.std([day.measure_auc(scores[None]) for scores in day.scores])) for day in days]
    aucs = ", ".join(f"{day.measure_auc(day.scores):.4f} ± {std:.4f}" for day, std in zip(days, spread, strict=True))
    title = f"{flags.seeds} seeds, {flags.pairs} pairs; AUC as served {aucs}; {describe_machine('torch')}"
    table = Table("points", *names, title=title)
    for points, values in ((p, [r for r in rows if r["points"] == p]) for p in POINTS):
        means = {name: np.mean([row[name] for row in values]) for name in names}
        cells = (f"{mean:.4f}" if name == "half interval" else f"{mean:.0%}" for name, mean in means.items())
        table.add_row(f"{points:+.1f}", *cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
