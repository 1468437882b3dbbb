"""Judge the pairs of a day: do the two items belong together, and why?

    python -m jobs.judge --day 2026-11-20

Reads silver.item_pairs, silver.items, gold.item_embeddings. Writes silver.item_pairs, partition day: verdict,
reason, judge_version. What the same judge said of a pair before, on any day, is not asked again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs import settings as tree
from jobs.catalogue import current_vectors
from jobs.encoders import encoder_version
from jobs.lake import Lake, Written
from jobs.lake.entry import main

TABLE = "silver.item_pairs"
KEY = ["item_a", "item_b"]
Pair = tuple[str, str]


class Verdict(NamedTuple):
    verdict: str  # yes, no or unsure
    reason: str


class Judge(Protocol):
    """Says of item pairs whether they belong together."""

    @property
    def version(self) -> str:
        """Changes whenever a verdict could."""

    def judge(self, pairs: list[Pair]) -> Iterable[Verdict]:
        """One verdict for each pair, in their order."""


@dataclass(frozen=True)
class SimilarityJudge:
    """Yes if the texts' embeddings are close, or fairly close within a category."""

    version: str
    rows: dict[str, int]  # item -> row of vectors
    vectors: NDArray[np.float32]  # [items, dim], unit length
    categories: dict[str, str]  # item -> its broadest category
    min_cosine: float
    min_cosine_same_category: float

    def judge(self, pairs: list[Pair]) -> Iterable[Verdict]:
        for a, b in pairs:
            missing = [item for item in (a, b) if item not in self.rows]
            if missing:
                yield Verdict("unsure", f"no embedding of {' and '.join(missing)}")
                continue
            cosine = float(self.vectors[self.rows[a]] @ self.vectors[self.rows[b]])
            yield self._verdict(cosine, self.categories.get(a), self.categories.get(b))

    def _verdict(self, cosine: float, a: str | None, b: str | None) -> Verdict:
        same = a is not None and a == b
        least = min(self.min_cosine, self.min_cosine_same_category) if same else self.min_cosine
        where = f"both in {a}" if same else f"in {a} and {b}" if a and b else "category unknown"
        return Verdict("yes" if cosine >= least else "no", f"cosine {cosine:.2f}, {where}")


def load_judge(lake: Lake, settings: tree.Settings) -> SimilarityJudge:
    """The judge that the settings name, with the catalogue as it is now."""
    limits, encoder = settings.judge, encoder_version(settings.encoder)
    items, vectors = current_vectors(lake, encoder)
    has_category = pc.list_value_length(ds.field("category")) > 0
    broadest = lake.arrow("silver.items", ["item_id", "category"], has_category)
    firsts = pc.list_element(broadest["category"], 0) if broadest.num_rows else pa.array([], pa.string())
    return SimilarityJudge(
        version=f"similarity-{limits.min_cosine:g}-{limits.min_cosine_same_category:g}-{encoder}",
        rows={item: row for row, item in enumerate(items)},
        vectors=vectors,
        categories=dict(zip(broadest["item_id"].to_pylist(), firsts.to_pylist(), strict=True)),
        min_cosine=limits.min_cosine,
        min_cosine_same_category=limits.min_cosine_same_category,
    )


def run(lake: Lake, settings: tree.Settings, day: date) -> Written:
    rows = lake.arrow(TABLE, where=ds.field("day") == day)
    if not rows.num_rows:
        return Written(notes={"pairs": 0, "asked": 0, "carried": 0})
    return judge_rows(lake, rows, load_judge(lake, settings), day)


def judge_rows(lake: Lake, rows: pa.Table, judge: Judge, day: date) -> Written:
    """Give every pair of the day the verdict of this judge; ask only for pairs that it never judged.

    A pair that it was unsure of is asked again: its items may be known by now.
    """
    pairs = _pairs(rows)
    known = _given(lake, rows.select(KEY).group_by(KEY).aggregate([]), judge.version)
    asked = sorted(set(pairs) - known.keys())
    known.update(zip(asked, judge.judge(asked), strict=True))
    filled = {
        "verdict": [known[pair].verdict for pair in pairs],
        "reason": [known[pair].reason for pair in pairs],
        "judge_version": [judge.version] * len(pairs),
    }
    for name, values in filled.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, pa.string()))
    lake.replace(TABLE, rows, day=day)
    counts = {"asked": len(asked), "carried": len(set(pairs)) - len(asked)}
    return Written(len(pairs), len(pairs), notes={"pairs": len(pairs), **counts, "dropped": _dropped(rows)})


def _pairs(rows: pa.Table) -> list[Pair]:
    return list(zip(rows["item_a"].to_pylist(), rows["item_b"].to_pylist(), strict=True))


def _given(lake: Lake, wanted: pa.Table, version: str) -> dict[Pair, Verdict]:
    """What this judge has said of the wanted pairs, read as a stream, as the table grows by the day."""
    mine = (ds.field("judge_version") == version) & (ds.field("verdict") != "unsure")
    given: dict[Pair, Verdict] = {}
    for batch in lake.batches(TABLE, [*KEY, "verdict", "reason"], mine):
        found = pa.Table.from_batches([batch]).join(wanted, KEY, join_type="inner")
        verdicts = map(Verdict, found["verdict"].to_pylist(), found["reason"].to_pylist())
        given.update(zip(_pairs(found), verdicts, strict=True))
    return given


def _dropped(rows: pa.Table) -> dict[str, float]:
    """Of each source's pairs, the share that is not a yes."""
    dropped = rows.append_column("dropped", pc.cast(pc.not_equal(rows["verdict"], "yes"), pa.float64()))
    shares = dropped.group_by("source").aggregate([("dropped", "mean")]).sort_by("source").to_pylist()
    return {row["source"]: round(row["dropped_mean"], 4) for row in shares}


if __name__ == "__main__":
    main(run)
