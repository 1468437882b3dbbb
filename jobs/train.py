"""Train the challenger and the DIN baseline on the days before, starting from the champion.

    python -m jobs.train --day 2026-11-20

Reads gold.samples, silver.histories, silver.events, silver.items, silver.item_ids, gold.encoders, gold.item_embeddings,
gold.codebooks, gold.semantic_ids and gold.releases. Writes the models to `<LAKE>/models/<model_version>/` and their
training curves to gold.metrics.
"""

from datetime import date

from jobs.codebooks.store import find_live_codebook
from jobs.encoders.tuned_encoders import live_encoder
from jobs.lake import JobResult, Lake
from jobs.lake.metrics import replace_metrics
from jobs.ranking.dataset import load_dataset
from jobs.ranking.items import load_item_features
from jobs.ranking.training import train_models, training_metrics
from jobs.release.gate import superseded_by_later_release
from jobs.release.model_store import ModelCard, hash_models, save_model
from jobs.runtime.checkpoint import remove_checkpoints
from jobs.runtime.entry import main
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if reason := superseded_by_later_release(lake, day):  # the metrics of what was published stay
        return JobResult(notes={"skipped": reason})
    encoder = live_encoder(lake, settings, day).version
    codebook = find_live_codebook(lake, settings.quantizer, encoder, day)
    if codebook is None:
        return _skip(lake, day, "there is no codebook of these [quantizer] settings: run quantize of this day first")
    items = load_item_features(lake, settings, encoder, codebook.version)
    dataset = load_dataset(lake, settings, items, day)
    if not len(dataset.test) or not len(dataset.train):
        rows = f"{len(dataset.train)} samples with a label to train on and {len(dataset.test)} test rows of the day"
        return _skip(lake, day, rows)
    trained = train_models(lake, settings, day, dataset, encoder)
    models = {name: result.model for name, result in trained.items()}
    version = f"{day}-{settings.hash}-{hash_models(models, items.ids)}"
    card = ModelCard.from_settings(settings, version, encoder, codebook.version, str(day))
    for name, model in models.items():
        save_model(lake, name, model, card, items.ids)
    replace_metrics(lake, "train", day, training_metrics(trained, version))
    remove_checkpoints(lake, "train")
    is_warm = {name: result.is_warm for name, result in trained.items()}
    notes = {"model_version": version, "tasks": dataset.tasks, "split": dataset.split, "warm": is_warm}
    return JobResult(len(dataset.train), len(dataset.train), notes=notes)


def _skip(lake: Lake, day: date, reason: str) -> JobResult:
    replace_metrics(lake, "train", day, [])
    return JobResult(notes={"skipped": reason})


if __name__ == "__main__":
    main(run)
