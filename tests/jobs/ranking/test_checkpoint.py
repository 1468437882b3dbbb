"""A training that was killed resumes from its checkpoint in the lake, and leaves no checkpoint behind."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.lake import Lake
from jobs.ranking.train_worker import TRAINING
from jobs.runtime.checkpoint import LakeCheckpoint, remove_checkpoints
from models.ranker import Design, Ranker, Samples, fit
from tests.jobs.lake_rows import DAY

EPOCHS = 3


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the epochs are."""
    monkeypatch.setattr("jobs.runtime.checkpoint.SECONDS", 0.0)


def make_rows() -> Samples:
    rng = np.random.default_rng(0)
    target, topk, labels = rng.integers(0, 9, 400), rng.integers(0, 9, (400, 4)), rng.integers(0, 2, (400, 1))
    return Samples(target, topk, np.zeros((400, 4)), labels.astype(float), np.ones(400, int), target, np.arange(400))


def train_ranker(lake: Lake, data: Samples, dies_in: int = 0) -> tuple[Ranker, set[int]]:
    """A model and the epochs that this process trained. dies_in: an epoch in which it is killed"""
    model = Ranker(design=Design("latest", k=4), n_items=9, tasks=("click",))
    trained_in: set[int] = set()

    def progress(done: int, total: int) -> None:
        epoch = -(-done * EPOCHS // total)
        if epoch == dies_in:
            raise KeyboardInterrupt
        trained_in.add(epoch)

    checkpoint = LakeCheckpoint.for_training(lake, "train", DAY, model, data.columns(), "")
    fit(model, data, seed=0, epochs=EPOCHS, batch_size=64, lr=1e-2, valid_share=0.2, patience=9, progress=progress,
        checkpoint=checkpoint)  # fmt: skip
    return model, trained_in


def test_a_killed_training_resumes_from_the_lake(lake: Lake) -> None:
    undisturbed, _ = train_ranker(lake, make_rows())
    remove_checkpoints(lake, "train")
    with pytest.raises(KeyboardInterrupt):
        train_ranker(lake, make_rows(), dies_in=3)
    resumed, epochs = train_ranker(lake, make_rows())
    assert epochs == {3}
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    remove_checkpoints(lake, "generate")
    assert list((Path(lake.root) / "models/unfinished").rglob("*.safetensors"))
    remove_checkpoints(lake, "train")
    assert not list((Path(lake.root) / "models/unfinished").rglob("*.safetensors"))


def test_workers_that_share_every_batch_give_the_weights_of_one_process(
    lake: Lake, capfd: pytest.CaptureFixture[str]
) -> None:
    data = make_rows()
    options: dict[str, Any] = {"seed": 0, "epochs": 2, "batch_size": 29, "lr": 1e-2, "valid_share": 0.2, "patience": 9}
    data.labels[::5] = np.nan
    models = [Ranker(design=Design("latest", k=4, features=("item_id", "nearest_items")), n_items=9, tasks=("click",),
                     nearest_of=9, id_dropout=0, dropout=0) for _ in range(2)]  # fmt: skip
    for model in models:
        model.set_nearest(torch.arange(9 * 25).view(9, 25) % 9)
    checkpoints = [
        LakeCheckpoint.for_training(lake, "train", day, models[0], data.columns(), "")
        for day in (DAY, DAY - timedelta(1))
    ]
    alone = fit(models[0], data, checkpoint=checkpoints[0], **options)
    shared = TRAINING.run(2, models[1], data.columns(), checkpoints[1], "challenger", **options)
    assert not models[1].training
    for a, b in zip(alone, shared, strict=True):  # the last batch has 1 of the 320 rows, so one worker has none
        assert asdict(a) == pytest.approx(asdict(b), rel=1e-3)
    for name, value in models[0].state_dict().items():
        assert torch.allclose(value.float(), models[1].state_dict()[name].float(), atol=1e-3), name
    again = TRAINING.run(2, models[1], data.columns(), checkpoints[1], "challenger", **options | {"epochs": 3})
    assert again[:2] == shared
    assert capfd.readouterr().err.count("training resumes from the epochs") == 2  # each worker


def test_other_rows_or_a_damaged_file_start_from_the_first_epoch(lake: Lake) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_ranker(lake, make_rows(), dies_in=3)
    assert train_ranker(lake, make_rows().take(np.arange(399)))[1] == {1, 2, 3}
    for file in (Path(lake.root) / "models/unfinished").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    assert train_ranker(lake, make_rows())[1] == {1, 2, 3}
    for file in (Path(lake.root) / "models/unfinished").rglob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-10] ^= 1  # a bit that flipped on the disk
        file.write_bytes(content)
    assert train_ranker(lake, make_rows())[1] == {1, 2, 3}
