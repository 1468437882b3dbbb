"""Measure challenger, champion and DIN on the same rows: those of the day, on which none of them was trained.

    python -m jobs.evaluate --day 2026-11-20

Reads the tables that train reads, the models, and gold.recommendations. Writes gold.metrics: AUC, UAUC, GAUC, log loss
and calibration with bootstrap intervals (users drawn again), as served (knowing nothing of the day), and with all that
happened up to the moment of each row, over all rows, by slice, and for the other labels; the differences of AUC, GAUC
and log loss; the share of the events found that a search by ID embeddings misses; hit rate and NDCG of yesterday's
lists, beside the most popular items. Then it decides which model goes live, and writes gold.decisions.
"""

import sys
from datetime import date

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.dataset import load_dataset
from jobs.ranking.evaluation import (
    build_slices,
    find_trained_version,
    measure_difference,
    measure_model,
    score_model,
    share_missed_by_id_search,
)
from jobs.ranking.items import load_item_features
from jobs.ranking.yesterdays_lists import measure_yesterdays_lists
from jobs.release.decisions import evaluated_versions, write_decision
from jobs.release.gate import decide, superseded_by_later_release
from jobs.release.model_store import load_card
from jobs.release.releases import live_release
from jobs.release.settings import SLICE_OF
from jobs.runtime.entry import main
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if reason := superseded_by_later_release(lake, day):
        return JobResult(notes={"skipped": reason})
    versions = evaluated_versions(lake)
    with lake.read_at(versions):
        result = _measure(lake, settings, day)
    decision = decide(lake, settings, day, versions)
    if decision.kind != "superseded":
        write_decision(lake, day, decision)
    return result


def _measure(lake: Lake, settings: Settings, day: date) -> JobResult:
    version = find_trained_version(lake, settings, day)
    if version is None:
        replace_metrics(lake, "evaluate", day, measure_yesterdays_lists(lake, settings, day))
        return JobResult(notes={"skipped": "nothing was trained for this day"})
    uris = {name: f"models/{version}/{name}" for name in ("challenger", "din")}
    card = load_card(lake, uris["challenger"])
    items = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
    dataset = load_dataset(lake, settings, items, day)
    scored = {name: score_model(lake, settings, day, dataset, card.encoder_version, uri) for name, uri in uris.items()}
    if champion := live_release(lake, before=str(day)):
        try:
            uri = str(champion["model_uri"])
            scored["champion"] = score_model(lake, settings, day, dataset, card.encoder_version, uri)
        except UserError as error:
            print(f"warning: the champion is not compared: {error}", file=sys.stderr, flush=True)
    challenger, din = scored["challenger"], scored["din"]
    slices = build_slices(dataset, challenger.model)
    rows = [row for name, model in scored.items() for row in measure_model(name, model, dataset, slices, settings)]
    missed = share_missed_by_id_search(dataset, settings, challenger.model, din.model)
    rows += metric_rows("challenger", "all", {"missed_by_id_search": missed}, version=version)
    for name, model in scored.items():
        if name != "challenger":
            rows += measure_difference(challenger, model, name, dataset.test, settings)
    replace_metrics(lake, "evaluate", day, rows + measure_yesterdays_lists(lake, settings, day))
    served = SLICE_OF["as_served"], "auc"
    auc = {row["model"]: row["value"] for row in rows if (row["slice"], row["metric"]) == served}
    return JobResult(len(dataset.test), len(dataset.test), notes={"auc_as_served": auc, "model_version": version})


if __name__ == "__main__":
    main(run)
