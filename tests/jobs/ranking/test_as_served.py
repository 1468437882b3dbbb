"""Test rows as served: they know nothing of their day, and get the scores that the lists of this day are made from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from jobs.ranking.as_served import limit_to_served
from jobs.ranking.dataset import Dataset, load_dataset
from jobs.ranking.evaluation import find_trained_version, score_model
from jobs.ranking.items import load_item_features
from jobs.ranking.scoring import Scorer
from models.ranker.prediction import predict
from tests.chain import LAST, Chain
from tests.jobs.ranking.made_dataset import build_dataset, build_items

MIDNIGHT = int(datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC).timestamp() * 1e6)


def load_test_rows(ran: Chain) -> Dataset:
    book = ran.lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    return load_dataset(ran.lake, ran.settings, load_item_features(ran.lake, ran.settings, **book), LAST)


def test_a_row_gets_the_score_that_the_lists_of_its_day_were_made_from(ran: Chain) -> None:
    data = load_test_rows(ran)
    uri = f"models/{find_trained_version(ran.lake, ran.settings, LAST)}/challenger"
    encoder = ran.lake.arrow("gold.codebooks", ["encoder_version"])["encoder_version"][0].as_py()
    scored = score_model(ran.lake, ran.settings, LAST, data, encoder, uri)
    scorer = Scorer.load(ran.lake, ran.settings, LAST - timedelta(days=1), uri)
    place = pc.index_in(data.users.take(pa.array(data.test.user)), scorer.users)
    rows = np.flatnonzero(place.is_valid())
    assert len(rows) > 1000
    inputs, _ = scorer.build_inputs(place.drop_null().to_numpy(), data.test.target[rows])
    served = predict(scorer.model, inputs)[:, 0]
    np.testing.assert_allclose(scored.scores["as_served"][rows, 0], served, atol=1e-6)
    assert np.abs(scored.scores["up_to_the_moment"][rows, 0] - served).max() > 0.05


def test_a_history_ends_where_the_day_begins(ran: Chain) -> None:
    data = load_test_rows(ran)
    served = limit_to_served(data, LAST).test
    assert (served.until <= MIDNIGHT).all()
    assert (served.ts == MIDNIGHT).all()
    last = served.end[served.length > 0] - 1
    assert data.histories.ts[last].max() < MIDNIGHT
    assert (served.length <= data.test.length).all()
    assert (served.length < data.test.length).any()
    np.testing.assert_array_equal(served.labels, data.test.labels)


@pytest.mark.parametrize("moments", [[5, 7, 9], []])
def test_in_a_log_of_one_day_a_history_ends_at_the_first_of_the_last_requests(moments: list[int]) -> None:
    data = build_dataset(build_items(torch.eye(4)), [[1] * 8], [(0, 0)] * len(moments))
    until = np.array(moments, np.int64)
    end = data.histories.ends(data.test.user, until)
    rows = replace(data.test, until=until, ts=until, end=end, length=data.histories.lengths(data.test.user, end))
    served = limit_to_served(replace(data, test=rows, split="request"), LAST).test
    assert served.length.tolist() == [5] * len(moments)
    assert served.until.tolist() == served.ts.tolist() == [5] * len(moments)
