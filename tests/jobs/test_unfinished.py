"""A training that was killed goes on from its checkpoint in the lake, and leaves none behind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lake_rows import DAY

from jobs.lake import Lake
from jobs.sections import Ranker as Settings
from jobs.unfinished import Unfinished, finish
from models.ranker import Design, Ranker, Samples, fit

EPOCHS = 3


def rows() -> Samples:
    rng = np.random.default_rng(0)
    target, topk, labels = rng.integers(0, 9, 400), rng.integers(0, 9, (400, 4)), rng.integers(0, 2, (400, 1))
    return Samples(target, topk, np.zeros((400, 4)), labels.astype(float), np.ones(400, int), target, np.arange(400))


def trained(lake: Lake, data: Samples, dies_in: int = 0) -> tuple[Ranker, set[int]]:
    """A model and the epochs that this process trained; dies_in: an epoch that is not ended."""
    model = Ranker(design=Design("latest", k=4), n_items=9, tasks=("click",))
    trained_in: set[int] = set()

    def progress(done: int, total: int) -> None:
        epoch = -(-done * EPOCHS // total)
        if epoch == dies_in:
            raise KeyboardInterrupt
        trained_in.add(epoch)

    keeper = Unfinished(lake, DAY, model, data, Settings())
    fit(model, data, seed=0, epochs=EPOCHS, batch_size=64, lr=1e-2, valid_share=0.2, patience=9, progress=progress,
        keeper=keeper)  # fmt: skip
    return model, trained_in


def test_a_killed_training_goes_on_from_the_lake(lake: Lake) -> None:
    undisturbed, _ = trained(lake, rows())
    finish(lake)
    with pytest.raises(KeyboardInterrupt):
        trained(lake, rows(), dies_in=3)
    resumed, epochs = trained(lake, rows())
    assert epochs == {3}
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    finish(lake)
    assert not (Path(lake.root) / "models/unfinished").exists()


def test_other_rows_or_a_torn_file_start_anew(lake: Lake) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(lake, rows(), dies_in=3)
    assert trained(lake, rows().take(np.arange(399)))[1] == {1, 2, 3}
    for file in (Path(lake.root) / "models/unfinished").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    assert trained(lake, rows())[1] == {1, 2, 3}
