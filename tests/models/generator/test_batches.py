"""What the sequences of a batch hold."""

import numpy as np
import pytest

from models.generator.batches import PADDING, cut_histories, latest_events, read_batch, similar_lengths, split_histories
from models.generator.task_data import newest_items
from models.ranker.histories import Histories
from tests.models.generator.toy import make_histories


def number_events(histories: Histories) -> Histories:
    """The same histories with a different item at each event."""
    return Histories(histories.offsets, np.arange(len(histories.items), dtype=np.int32), histories.ts)


@pytest.mark.parametrize("length", [1, 3, 50])
def test_every_event_is_predicted_once_from_the_events_before_it(length: int) -> None:
    histories = number_events(make_histories(users=40))
    ends = histories.offsets[1:] - np.arange(40) % 2  # the last event of some users is held out
    sequences = split_histories(histories, ends, length)
    predicted = []
    for rows in similar_lengths(sequences, tokens=16, rng=np.random.default_rng(0)):
        batch = read_batch(histories, sequences.take(rows), following=1)
        assert batch.inputs.shape[1] <= length
        row, column, item = batch.next_items()
        previous = batch.items[row, column - 1]
        assert (item[column > 0] == previous[column > 0] + 1).all()  # items are numbered
        assert np.isin(item[column == 0], histories.offsets).all()  # first events follow the empty history
        predicted.append(item)
    known = np.concatenate([np.arange(start, end) for start, end in zip(histories.offsets, ends, strict=False)])
    assert np.array_equal(np.sort(np.concatenate(predicted)), known)


def test_a_batch_holds_sequences_of_similar_length() -> None:
    sequences = split_histories(histories := make_histories(users=500, longest=40), histories.offsets[1:], 50)
    rows = list(similar_lengths(sequences, tokens=400, rng=np.random.default_rng(1)))
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(len(sequences)))
    inputs = [read_batch(histories, sequences.take(part), following=0).inputs for part in rows]
    assert max(part.size for part in inputs) <= 400
    assert sum((part == PADDING).sum() for part in inputs) < 0.05 * sum(part.size for part in inputs)


def test_an_event_that_was_taken_back_is_neither_read_nor_predicted() -> None:
    users, items, ts = np.zeros(4, np.int64), np.array([3, 4, 5, 4]), np.array([0, 1, 2, 3])
    histories = Histories.from_arrays(users, items, ts, 1, kinds=np.array([1, 1, 1, ~1]))
    histories = histories.take_back(users[:1], np.array([4]), np.array([1]), np.array([3]), kind=1)
    ends = histories.offsets[1:]
    batch = read_batch(histories, latest_events(histories, np.array([0]), ends, 50), following=0)
    assert batch.inputs.tolist() == [[3, 5]]
    batch = read_batch(histories, split_histories(histories, ends, 50), following=1)
    assert batch.next_items()[2].tolist() == [3, 5]
    before = np.array([3])  # at that time the event counted
    assert read_batch(histories, latest_events(histories, np.array([0]), before, 50), 0).inputs.tolist() == [[3, 4, 5]]


def test_a_window_holds_as_many_events_however_many_were_taken_back_among_them() -> None:
    """User 0 bought 0 to 9 and 20 to 49, and took the later ones back. User 1 has a short history."""
    bought = [*range(10), *range(20, 50)]
    items, kinds = np.array([*bought, *range(20, 50), 7, 8]), np.array([1] * 40 + [~1] * 30 + [1, 1])
    users, ts = np.array([0] * 70 + [1, 1]), np.arange(72)
    histories = Histories.from_arrays(users, items, ts, 2, kinds=kinds)
    taken = np.arange(20, 50)
    histories = histories.take_back(np.zeros(30, np.int64), taken, np.arange(10, 40), np.arange(40, 70), kind=1)
    for length, expected in ((4, [6, 7, 8, 9]), (10, list(range(10))), (50, list(range(10)))):
        sequences = latest_events(histories, np.array([0, 1]), histories.offsets[1:], length)
        batch = read_batch(histories, sequences, following=0)
        assert [row[row != PADDING].tolist() for row in batch.inputs] == [expected, [7, 8]]
        assert sequences.is_first.tolist() == [length >= 10, True]
    half = read_batch(histories, latest_events(histories, np.array([0]), np.array([55]), 2), following=0)
    assert half.inputs.tolist() == [[48, 49]]  # at that time 20 to 34 were taken back
    assert newest_items(histories, np.arange(50) != 3, 0, 70) == [0, 1, 2, *range(4, 10)]


def test_cut_histories_have_the_later_events_and_what_was_taken_back_stays_so() -> None:
    users, items, ts = np.array([0, 0, 0, 0, 1, 2, 2]), np.array([5, 6, 7, 6, 8, 9, 5]), np.array([1, 2, 3, 4, 1, 2, 9])
    kinds = np.array([1, 1, 1, ~1, 1, 1, 1])  # user 0 buys 6 at 2 and takes it back at 4
    histories = Histories.from_arrays(users, items, ts, 3, kinds=kinds)
    histories = histories.take_back(np.array([0]), np.array([6]), np.array([2]), np.array([4]), kind=1)
    for since, left in ((0, [5, 6, 7, 6, 8, 9, 5]), (2, [6, 7, 6, 9, 5]), (3, [7, 6, 5]), (10, [])):
        cut, moved = cut_histories(histories, since)
        assert cut.items.tolist() == left
        ends = histories.offsets[1:] - moved
        assert ends.tolist() == cut.offsets[1:].tolist()
        batch = read_batch(cut, latest_events(cut, np.arange(3), ends, 9), following=0)
        assert [row[row != PADDING].tolist() for row in batch.items] == [
            [item for item in known if item in left] for known in ([5, 7] if since < 2 else [7], [8], [9, 5])
        ]
