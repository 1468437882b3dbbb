"""A model with all that it looks at, as of the end of a day: what recommend and explain score with."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.lake import Lake
from jobs.ranking.dataset import Search, looked_at, looks_at_exposures, search_of
from jobs.ranking.histories import EVENTS, load_histories, load_histories_with_impressions, load_totals
from jobs.ranking.items import ItemFeatures, load_item_features
from jobs.release.model_store import load_card, load_model
from jobs.settings.tree import Settings
from models.ranker.histories import Histories, Ints
from models.ranker.model import Ranker
from models.ranker.rates import Totals
from models.ranker.samples import Samples, gathered
from models.ranker.training import predict, weigh


@dataclass(frozen=True)
class Scorer:
    """A model, what it searches by, and all users' histories and rates at the end of a day."""

    model: Ranker
    model_version: str
    catalogue: ItemFeatures
    users: pa.Array
    histories: Histories  # positive events
    within: Histories  # what the model's search looks at: these, or with what users were shown
    rates: Totals
    day: date
    search: Search

    @classmethod
    def load(cls, lake: Lake, settings: Settings, day: date, uri: str) -> "Scorer":
        card = load_card(lake, uri)
        settings = card.settings(settings)
        catalogue = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
        model = load_model(lake, uri, catalogue)
        users, histories = load_histories(lake, settings, catalogue, day, pa.chunked_array([], pa.string()))
        exposed = looks_at_exposures(model.design)
        within = load_histories_with_impressions(lake, settings, catalogue, day, users) if exposed else histories
        rates = load_totals(lake, settings, users, catalogue, day, model.tasks[0])
        search = search_of(catalogue, settings, model.design, looked_at(model, catalogue))
        return cls(model, card.model_version, catalogue, users, histories, within, rates, day, search)

    def rows(self, user: Ints, target: Ints) -> tuple[Samples, Ints]:
        """Pairs [rows] of user and item index at the end of the day, and the events found [rows, k], -1: none."""
        end = self.within.offsets[user + 1]
        found = self.search(self.within, user, target, end)
        now = np.full(len(user), np.datetime64(self.day + timedelta(days=1), "us").astype(np.int64))
        labels = np.zeros((len(user), len(self.model.tasks)), np.float32)
        rates = self.rates.at(user, target)
        rows = gathered(self.model.design, self.within, found, user, target, end, now, labels, rates)
        return rows, found.events

    def explain(self, user: Ints, target: Ints) -> list[dict[str, Any]]:
        """Rows of gold.explanations for pairs [rows]."""
        rows, events = self.rows(user, target)
        scores, weights = predict(self.model, rows)[:, 0], weigh(self.model, rows)
        found, names, kinds = [], list(EVENTS), self.within.kinds
        assert kinds is not None
        for row in range(len(user)):
            some = np.flatnonzero(events[row] >= 0)
            order = some[np.argsort(-weights[row, some], kind="stable")]
            found += [
                {
                    "user_id": self.users[int(user[row])].as_py(),
                    "item_id": self.catalogue.ids[int(target[row])].as_py(),
                    "score": float(scores[row]),
                    "rank": rank,
                    "history_item_id": self.catalogue.ids[int(rows.topk[row, at])].as_py(),
                    "event": names[int(kinds[events[row, at]])],
                    "ts": datetime.fromtimestamp(self.within.ts[events[row, at]] / 1e6, UTC),
                    "similarity": float(rows.sims[row, at]),
                    "attention": float(weights[row, at]),
                    "model_version": self.model_version,
                    "day": self.day,
                }
                for rank, at in enumerate(order, start=1)
            ]
        return found
