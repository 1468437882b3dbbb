"""Trains the challenger and the DIN baseline of a day: warm start, training, training curves."""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from jobs.codebooks.store import version_suffix
from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows
from jobs.ranking.build import build_ranker, challenger_design, din_design
from jobs.ranking.dataset import Dataset
from jobs.ranking.items import ItemFeatures
from jobs.ranking.model_inputs import build_model_inputs, search_vectors
from jobs.ranking.train_on_spark import train_on_spark
from jobs.ranking.train_worker import TRAINING
from jobs.release.model_store import is_stored, load_card, load_model
from jobs.release.releases import live_release
from jobs.runtime.checkpoint import LakeCheckpoint
from jobs.runtime.progress import step
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.ranker.epoch import Epoch
from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.model import Ranker
from models.ranker.samples import Samples
from models.ranker.teacher import add_targets
from models.ranker.training_rows import TrainingRows


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, its training curve, and whether it started from the champion's weights."""

    model: Ranker
    curve: list[Epoch]
    is_warm: bool


def train_models(lake: Lake, settings: Settings, day: date, dataset: Dataset, encoder: str) -> dict[str, TrainedModel]:
    """Train DIN, then the challenger, which may search by DIN's ID embeddings. returns them by name"""
    designs = {"din": din_design(settings.ranker), "challenger": challenger_design(settings.ranker)}
    models = {name: build_ranker(dataset, settings, design) for name, design in designs.items()}
    trained: dict[str, TrainedModel] = {}
    for name, design in designs.items():
        model = models[name]
        if design.search == "id_embedding":
            model.set_id_vectors(trained["din"].model.id_directions())
        champion = load_champion_to_continue(lake, settings, day, name, model, dataset.items, encoder)
        start = "random weights" if champion is None else "the weights of the live release"
        print(f"{name} starts from {start}", file=sys.stderr, flush=True)
        model = champion or model
        vectors = search_vectors(model, dataset.items)
        inputs = build_model_inputs(dataset, dataset.train, settings, design, vectors=vectors)
        if design.teacher:
            train = TrainingRows.split_by_time(inputs, settings.ranker.valid_share).train
            with step(f"fitting the teacher of {name} on {len(train):,} rows"):
                inputs = add_targets(inputs, train, design.teacher, settings.ranker.seed)
        if settings.ranker.spark_parts:
            curve = train_on_spark(lake, model, inputs, settings.ranker, name, day)
        else:
            options = f"{settings.ranker.model_dump_json()} {model.settings} {model.design}"
            checkpoint = LakeCheckpoint.for_training(lake, "train", day, model, inputs.columns(), options)
            curve = train_ranker(model, inputs, settings, name, checkpoint)
        del inputs  # frees its temporary files before the next model writes its own
        if kept_start(curve):
            message = f"{name} keeps the weights it started from: no epoch was better on the validation rows"
            print(message, file=sys.stderr, flush=True)
        trained[name] = TrainedModel(model, curve, champion is not None)
    return trained


def load_champion_to_continue(
    lake: Lake, settings: Settings, day: date, name: str, model: Ranker, items: ItemFeatures, encoder: str
) -> Ranker | None:
    """The model of that name that was trained with the champion, ready to be trained further in place of `model`.

    None if there is no champion, if it cannot be read, or if its design or sizes differ from those of `model`. Also
    None if its inputs have another meaning today: vectors of another encoder, codes of a codebook of another encoder or
    kind or of a refit that does not keep the numbers of codes, rates and similarities under other settings.
    """
    champion = live_release(lake, before=str(day)) if settings.ranker.warm_start else None
    if champion is None:
        return None
    uri = f"{str(champion['model_uri']).rpartition('/')[0]}/{name}"
    if not is_stored(lake, uri):
        return None
    try:
        card, old = load_card(lake, uri), load_model(lake, uri, items)
    except UserError as error:
        print(f"warning: {error}", file=sys.stderr, flush=True)
        return None
    if card.apply_to(settings) != settings:
        return None
    has_same_encoder = card.encoder_version == encoder
    if model.design.compares_items and not has_same_encoder:
        return None
    has_same_kind = has_same_encoder and card.codebook_version.endswith(version_suffix(settings.quantizer))
    # Refits of residual k-means start from the codebook before, so their codes keep their numbers.
    keeps_codes = has_same_kind and settings.quantizer.kind.startswith("res_kmeans")
    if model.codes.shape[1] and card.codebook_version != items.codebook_version and not keeps_codes:
        return None
    if old.design != model.design or _describe_sizes(old) != _describe_sizes(model):
        return None
    if old.nearest.numel():  # these are numbers of items, and today's items have other numbers
        return None
    old.codes.copy_(model.codes)
    old.id_vectors.copy_(model.id_vectors)
    return old.to(model.known.device)


def _describe_sizes(model: Ranker) -> str:
    """The arguments that must be equal, as JSON: in a stored model tuples are lists."""
    ignored = {"seed": None} if model.codes.shape[1] else {"seed": None, "code_sizes": None}
    return json.dumps(model.settings | ignored, sort_keys=True)


def train_ranker(
    model: Ranker, samples: Samples, settings: Settings, name: str, checkpoint: LakeCheckpoint | None = None
) -> list[Epoch]:
    """Train in place, in this process or in worker processes. returns the training curve"""
    r = settings.ranker
    options = r.model_dump(include={"seed", "epochs", "lr", "valid_share", "patience"}) | {"batch_size": r.batch}
    return TRAINING.run(count_workers(r.workers), model, samples.columns(), checkpoint, name, **options)


def kept_start(curve: list[Epoch]) -> bool:
    """Whether training kept the weights it started from: the curve's epoch 0 is its best."""
    return curve[0].epoch == 0 and all(point.score <= curve[0].score for point in curve)


def training_metrics(trained: dict[str, TrainedModel], version: str) -> list[dict[str, Any]]:
    """Rows for gold.metrics: training curves and designs."""
    rows: list[dict[str, Any]] = []
    for name, result in trained.items():
        for point in result.curve:
            values = {metric: value for metric, value in asdict(point).items() if metric != "epoch"}
            rows += metric_rows(name, f"epoch_{point.epoch}", values, version=version)
    for name, result in trained.items():
        design = dict.fromkeys(result.model.design.describe(tuple(EVENT_KINDS)), 1.0)
        rows += metric_rows(name, "design", design, version=version)
    return rows
