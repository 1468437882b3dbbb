"""A model with everything it reads, at the end of a day: `recommend` and `explain` score users and items with it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.lake import Lake
from jobs.ranking.histories import load_histories, load_histories_of, load_shown_histories
from jobs.ranking.items import ItemFeatures, load_item_features
from jobs.ranking.model_inputs import build_search, build_similar_rates, reads_shown, search_vectors, searches_shown
from jobs.ranking.rates import load_totals
from jobs.release.model_store import load_card, load_model
from jobs.settings.tree import Settings
from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.histories import Ints
from models.ranker.lists import PairScorer
from models.ranker.prediction import predict, predict_attention


@dataclass(frozen=True)
class Scorer(PairScorer):
    """A model with the histories and rates of users at the end of a day.

    users  their IDs by index, sorted
    """

    model_version: str
    items: ItemFeatures
    users: pa.Array
    day: date

    @classmethod
    def load(cls, lake: Lake, settings: Settings, day: date, uri: str, *, users: pa.Array | None = None) -> "Scorer":
        """Load a model of the lake, with the settings that it was trained with and everything until the end of the day.

        users   whose pairs will be scored, sorted. None: all users with a history
        raises  UserError if the model is missing or damaged
        """
        card = load_card(lake, uri)
        settings = card.apply_to(settings)
        items = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
        model = load_model(lake, uri, items)
        if users is None:
            users, histories = load_histories(lake, settings, items, day)
        else:
            histories = load_histories_of(lake, settings, items, day, users, at_end=True)
        shown, vectors, task = histories, search_vectors(model, items), model.tasks[0]
        if reads_shown(model.design):
            shown = load_shown_histories(lake, settings, items, day, users, at_end=True)
        totals = load_totals(lake, settings, users, items, day, task)
        search = build_search(items, settings, model.design, vectors)
        similar_rates = build_similar_rates(items, settings, task, vectors)
        midnight = int(np.datetime64(day + timedelta(days=1), "us").astype(np.int64))
        return cls(
            model, search, similar_rates, histories, shown, searches_shown(model.design), totals, midnight,
            card.model_version, items, users, day,
        )  # fmt: skip

    def explain(self, user: Ints, target: Ints) -> list[dict[str, Any]]:
        """Rows of gold.explanations for pairs [rows]: the events of each, those with the highest weight first."""
        inputs, events = self.build_inputs(user, target)
        scores, weights = predict(self.model, inputs)[:, 0], predict_attention(self.model, inputs)
        rows, names, kinds = [], list(EVENT_KINDS), self.searched_histories.kinds
        assert kinds is not None
        for row in range(len(user)):
            columns = np.flatnonzero(events[row] >= 0)
            order = columns[np.argsort(-weights[row, columns], kind="stable")]
            _, first = np.unique(events[row, order], return_index=True)  # an event can be in two lists
            order = order[np.sort(first)]
            rows += [
                {
                    "user_id": self.users[int(user[row])].as_py(),
                    "item_id": self.items.ids[int(target[row])].as_py(),
                    "score": float(scores[row]),
                    "rank": rank,
                    "history_item_id": self.items.ids[int(inputs.topk[row, column])].as_py(),
                    "event": names[int(kinds[events[row, column]])],
                    "ts": datetime.fromtimestamp(self.searched_histories.ts[events[row, column]] / 1e6, UTC),
                    "similarity": float(inputs.sims[row, column]),
                    "attention": float(weights[row, column]),
                    "model_version": self.model_version,
                    "day": self.day,
                }
                for rank, column in enumerate(order, start=1)
            ]
        return rows
