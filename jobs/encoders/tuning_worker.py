"""Tune an encoder on the files of a folder: in this process, or in each of the workers that torchrun starts.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.encoders.tuning_worker <folder>

The task `align` writes the folder and starts the workers. They share only the gradient; they open no lake.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import torch

from jobs.encoders.location import EncoderRef, explain_load_errors, image_folder
from jobs.encoders.tuning_data import Pairs, index_pairs
from jobs.lake import UserError
from jobs.runtime.progress import progress
from jobs.runtime.workers import count_workers, join_workers, run_workers
from jobs.settings.tree import Settings
from models.distributed import worker_index
from models.encoder.embedder import NotFiniteError
from models.encoder.loading import load_tunable
from models.encoder.tuning import Plan, tune

PLAN = {"steps", "items_per_batch", "items_per_chunk", "lr", "temperature", "answer_weight", "seed"}
MODEL = {"embs", "checkpointing", "warm_start"}


def tune_in_folder(folder: Path, settings: Settings, base: EncoderRef, pairs: Pairs, items: pa.Table) -> Path:
    """Tune an encoder, from the checkpoint if an interrupted run left one in the folder.

    returns  the folder of the tuned encoder
    """
    align = settings.align
    model = {"model": base.location, "max_tokens": settings.encoder.max_tokens, "rank": align.lora_rank or None}
    model |= align.model_dump(include=MODEL) | {"image_folder": image_folder(settings.encoder)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps({"model": model, "plan": align.model_dump(include=PLAN)}))
    feather.write_feather(items.select(["text", "image", "questions"]), folder / "items.arrow")
    np.save(folder / "pairs.npy", index_pairs(pairs, items["item_id"].to_pylist()))
    if (count := count_workers(align.workers)) == 1:
        tune_as_worker(folder)
    else:
        run_workers("jobs.encoders.tuning_worker", folder, count)
    return folder / "model"


def tune_as_worker(folder: Path) -> None:
    """One worker's part. The first worker saves the encoder. raises UserError if it cannot be read or diverges"""
    options = json.loads((folder / "options.json").read_text())
    items = feather.read_table(folder / "items.arrow", memory_map=False)
    texts, images, questions = (items[name].to_pylist() for name in ("text", "image", "questions"))
    torch.manual_seed(options["plan"]["seed"])  # <EMB> tokens and adapters start from random weights
    with explain_load_errors(options["model"]["model"]):
        model = load_tunable(texts=texts, images=images, questions=questions, **options["model"])
    is_first = worker_index() == 0
    try:
        tune(
            model, model.collate, np.load(folder / "pairs.npy"), len(items), Plan(**options["plan"]),
            anneal=model.anneal, checkpoint=folder / "checkpoint.safetensors",
            progress=progress("tuning the encoder") if is_first else None,
        )  # fmt: skip
    except NotFiniteError as error:
        raise UserError(f"tuning diverged: {error}; lower align.lr or raise align.temperature") from None
    if is_first:
        model.save(folder / "model")


if __name__ == "__main__":
    with join_workers("jobs.encoders.tuning_worker"):
        tune_as_worker(Path(sys.argv[1]))
