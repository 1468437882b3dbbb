"""Tune an encoder on what lies in a folder: in this process, or in each rank that torchrun starts.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.encoders.tuning_worker <folder>

`align` writes the folder and starts this: ranks share no lake, no lock and no ledger, only the gradient.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import torch
import torch.distributed as dist

from jobs.encoders.location import EncoderRef, image_folder, readable
from jobs.encoders.tuned_encoders import Pairs, places
from jobs.lake import UserError
from jobs.runtime import workers as ranks
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.encoder.embedder import NotFiniteError
from models.encoder.loading import load_tunable
from models.encoder.tuning import Plan, tune

PLAN = {"steps", "items_per_batch", "items_per_chunk", "lr", "temperature", "answer_weight", "seed"}
MODEL = {"embs", "checkpointing", "warm_start"}


def tune_in(folder: Path, settings: Settings, base: EncoderRef, pairs: Pairs, items: pa.Table) -> Path:
    """Tune, going on from what an interrupted run left in the folder. returns where the tuned encoder lies"""
    align = settings.align
    told = {
        "model": {"model": base.location, "max_tokens": settings.encoder.max_tokens, "rank": align.lora_rank or None}
        | align.model_dump(include=MODEL)
        | {"image_folder": image_folder(settings.encoder)},
        "plan": align.model_dump(include=PLAN),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "told.json").write_text(json.dumps(told))
    feather.write_feather(items.select(["text", "image", "questions"]), folder / "items.arrow")
    np.save(folder / "pairs.npy", places(pairs, items["item_id"].to_pylist()))
    if (count := ranks.count(align.ranks)) == 1:
        tune_rank(folder)
    else:
        ranks.start("jobs.encoders.tuning_worker", folder, count)
    return folder / "model"


def tune_rank(folder: Path) -> None:
    """One rank's part; the first one saves. raises UserError if the model cannot be read, or not be tuned so"""
    told = json.loads((folder / "told.json").read_text())
    items = feather.read_table(folder / "items.arrow", memory_map=False)
    texts, images, questions = (items[name].to_pylist() for name in ("text", "image", "questions"))
    torch.manual_seed(told["plan"]["seed"])  # <EMB> tokens and adapters start from random weights
    with readable(told["model"]["model"]):
        model = load_tunable(texts=texts, images=images, questions=questions, **told["model"])
    first = not dist.is_initialized() or dist.get_rank() == 0
    try:
        tune(
            model, model.collate, np.load(folder / "pairs.npy"), len(items), Plan(**told["plan"]), anneal=model.anneal,
            checkpoint=folder / "kept.safetensors", progress=progress("tuning the encoder") if first else None,
        )  # fmt: skip
    except NotFiniteError as error:
        raise UserError(f"tuning went astray: {error}; lower align.lr or raise align.temperature") from None
    if first:
        model.save(folder / "model")


if __name__ == "__main__":
    with ranks.joined("jobs.encoders.tuning_worker"):
        tune_rank(Path(sys.argv[1]))
