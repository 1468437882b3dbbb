"""Train the challenger and the DIN baseline on the days before, starting from the champion.

    python -m jobs.train --day 2026-11-20

Reads gold.samples, silver.events, silver.items, gold.encoders, gold.item_embeddings, gold.codebooks, gold.semantic_ids
and gold.releases. Writes the models to `<LAKE>/models/<model_version>/` and their training curves to gold.metrics.
"""

import json
import sys
from dataclasses import asdict
from datetime import date

from jobs.codebooks.store import live_codebook, name_of
from jobs.encoders.tuned_encoders import live_encoder
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.build import build, challenger_design, din_design
from jobs.ranking.checkpoint import LakeCheckpoint, finish
from jobs.ranking.dataset import load_dataset, looked_at, searched
from jobs.ranking.histories import EVENTS
from jobs.ranking.items import ItemFeatures, load_item_features
from jobs.ranking.train_worker import fit_told, train_in_ranks
from jobs.release.gate import past
from jobs.release.model_store import ModelCard, digest, load_card, load_model, save_model, stored
from jobs.release.releases import live
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.ranker.checkpoint import Epoch
from models.ranker.model import Ranker
from models.ranker.samples import Samples


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if why := past(lake, day):  # its metrics stay those of what was published
        return JobResult(notes={"skipped": why})
    encoder = live_encoder(lake, settings, day).version
    book = live_codebook(lake, settings, encoder, day)
    if book is None:
        return _skip(lake, day, "there is no codebook: no item was embedded yet")
    catalogue = load_item_features(lake, settings, encoder, book.version)
    data = load_dataset(lake, settings, catalogue, day)
    if not len(data.test) or not len(data.train):
        return _skip(
            lake, day, f"{len(data.train)} samples with a label to train on and {len(data.test)} of the day to judge by"
        )
    designs = {"din": din_design(settings.ranker), "challenger": challenger_design(settings.ranker)}
    models = {name: build(data, settings, design) for name, design in designs.items()}
    curves, warm = {}, {}
    for name, design in designs.items():
        if design.search == "id_embedding":
            models[name].set_id_vectors(models["din"].id_directions())
        old = warmed(lake, settings, day, name, models[name], catalogue, encoder)
        print(f"{name} starts from {'that of the live release' if old else 'nothing'}", file=sys.stderr, flush=True)
        models[name], warm[name] = old or models[name], old is not None
        found = searched(data, data.train, settings, design, vectors=looked_at(models[name], catalogue))
        keeper = LakeCheckpoint.of(lake, day, models[name], found, settings.ranker)
        curves[name] = train(models[name], found, settings, name, keeper)
        if stayed(curves[name]):
            print(
                f"{name} stays as it began: no epoch foretold the latest rows better",
                file=sys.stderr,
                flush=True,
            )
        del found  # what lies in the temporary folder goes before the next model's comes
    version = f"{day}-{settings.hash}-{digest(models, catalogue.ids)}"
    card = ModelCard.of(settings, version, encoder, book.version, str(day))
    for name, model in models.items():
        save_model(lake, name, model, card, catalogue.ids)
    rows = [row for name, curve in curves.items() for epoch in curve for row in _curve_rows(name, epoch, version)]
    for name, design in designs.items():
        rows += metric_rows(name, "design", dict.fromkeys(design.told(tuple(EVENTS)), 1.0), version=version)
    replace_metrics(lake, "train", day, rows)
    finish(lake)
    notes = {"model_version": version, "tasks": data.tasks, "split": data.split, "warm": warm}
    return JobResult(len(data.train), len(data.train), notes=notes)


def warmed(
    lake: Lake, settings: Settings, day: date, name: str, model: Ranker, catalogue: ItemFeatures, encoder: str
) -> Ranker | None:
    """The model of that name that was trained with the champion, to go on from.

    None if there is no champion, if it cannot be read or was made otherwise than `model`, or if what it learned to read
    means other things now: vectors, those of another encoder; codes, those of a codebook of another encoder or kind, or
    of a refit that does not keep numbers; rates and similarities, those of other settings.
    """
    champion = live(lake, before=str(day)) if settings.ranker.warm_start else None
    if champion is None:
        return None
    uri = f"{str(champion['model_uri']).rpartition('/')[0]}/{name}"
    if not stored(lake, uri):
        return None
    try:
        card, old = load_card(lake, uri), load_model(lake, uri, catalogue)
    except UserError as error:
        print(f"warning: {error}", file=sys.stderr, flush=True)
        return None
    if card.settings(settings) != settings:
        return None
    same = card.encoder_version == encoder
    if model.design.compares_items and not same:
        return None
    alike = same and card.codebook_version.endswith(name_of(settings.quantizer))
    kept = alike and settings.quantizer.kind.startswith("res_kmeans")  # whose refits go on from the codebook before
    if model.codes.shape[1] and card.codebook_version != catalogue.codebook_version and not kept:
        return None
    if old.design != model.design or _sizes(old) != _sizes(model) or old.nearest.numel():
        return None  # numbers of nearest items mean others when a catalogue changes
    old.codes.copy_(model.codes)
    old.id_vectors.copy_(model.id_vectors)
    return old.to(model.known.device)


def _sizes(model: Ranker) -> str:
    own = {"seed": None} if model.codes.shape[1] else {"seed": None, "code_sizes": None}
    return json.dumps(model.settings | own, sort_keys=True)  # a stored model tells lists for tuples


def train(
    model: Ranker, samples: Samples, settings: Settings, name: str, keeper: LakeCheckpoint | None = None
) -> list[Epoch]:
    """Train in place, in this process or in ranks. returns the training curve"""
    r = settings.ranker
    told = r.model_dump(include={"seed", "epochs", "lr", "valid_share", "patience"}) | {"batch_size": r.batch}
    if (count := count_workers(r.ranks)) > 1:
        return train_in_ranks(count, model, samples, keeper, name, **told)
    return fit_told(model, samples, name, progress=progress(f"training {name}"), keeper=keeper, **told)


def stayed(curve: list[Epoch]) -> bool:
    """Whether what the training began with, its epoch 0, was kept."""
    return curve[0].epoch == 0 and all(one.worth <= curve[0].worth for one in curve)


def _curve_rows(name: str, epoch: Epoch, version: str) -> list[dict[str, object]]:
    values = {name: value for name, value in asdict(epoch).items() if name != "epoch"}
    return metric_rows(name, f"epoch_{epoch.epoch}", values, version=version)


def _skip(lake: Lake, day: date, why: str) -> JobResult:
    replace_metrics(lake, "train", day, [])
    return JobResult(notes={"skipped": why})


if __name__ == "__main__":
    main(run)
