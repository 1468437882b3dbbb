"""What a trained generator knows of items: semantic IDs, text vectors, words, and whether they can be listed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.codebooks.ids import CODES, IDS
from jobs.codebooks.store import find_live_codebook
from jobs.encoders.tuned_encoders import live_encoder
from jobs.encoders.vectors import dated_vectors
from jobs.lake import Lake, UserError
from jobs.lake.arrow import distinct_strings, large_parts
from jobs.ranking.items import ItemIndex
from jobs.settings.tree import Settings
from models.generator import Design
from models.generator.trie import CodeTrie
from models.generator.words import Words
from models.ranker.histories import Ints


@dataclass(frozen=True)
class ItemInputs(ItemIndex):
    """What describes the items. Parts that the design does not read have no columns, and their version is empty.

    codes         [items, levels] int64, the semantic ID and the twin number, which no two items share; -1 for an item
                  without an ID
    text          [items, dim] float32, zeros for an item without a vector
    words         of the items' texts
    in_catalogue  [items] bool, see `find_listed_items`
    """

    codes: Tensor
    text: Tensor
    words: Words
    in_catalogue: Tensor
    codebook_version: str = ""
    encoder_version: str = ""

    @property
    def code_sizes(self) -> tuple[int, ...]:
        return tuple((self.codes.amax(dim=0) + 1).tolist()) if len(self.codes) else (0,) * self.codes.shape[1]


def load_item_inputs(lake: Lake, settings: Settings, items: ItemIndex, design: Design, day: date) -> ItemInputs | str:
    """What the design reads of the items. IDs and vectors of days after `day` do not count.

    Texts, and which items there are, are those of silver.items now: the table does not keep older ones.

    returns  the inputs, or a sentence that says what is missing
    raises   UserError if two items have the same semantic ID and twin number
    """
    n_items = len(items.ids)
    codes, text = torch.zeros(n_items, 0, dtype=torch.int64), torch.zeros(n_items, 0)
    codebook_version = encoder_version = ""
    if design.reads_codes or "text" in design.inputs:
        encoder_version = live_encoder(lake, settings, day).version
    if design.reads_codes:
        codebook = find_live_codebook(lake, settings.quantizer, encoder_version, day)
        if codebook is None:
            return "there is no codebook of these [quantizer] settings: run quantize of this day first"
        codebook_version = codebook.version
        codes = load_unique_codes(lake, items, codebook_version, day)
        if not (codes >= 0).any():
            return f"the codebook {codebook_version} had given no item an ID by the end of {day}"
    if "text" in design.inputs:
        text = _load_text_vectors(lake, items, encoder_version, day)
        if not text.shape[1]:
            return f"no item had a vector of {encoder_version} at the end of {day}: run embed of this day first"
    words = Words.read(load_item_texts(lake, items) if "words" in design.inputs else [""] * n_items)
    is_listed = torch.from_numpy(find_listed_items(lake, items))
    return ItemInputs(items.ids, codes, text, words, is_listed, codebook_version, encoder_version)


def find_known_items(lake: Lake, items: ItemIndex, acted_on: Ints, last: date) -> Tensor:
    """Which items [items] bool a list of the end of a day could hold: items that users had acted on or that had an ID.

    acted_on  indices of items, any number of times
    """
    batches = lake.batches(IDS, ["item_id"], ds.field("day") <= last)
    had_id = pc.is_in(items.ids, distinct_strings(batch["item_id"] for batch in batches))
    is_known = np.array(had_id.to_numpy(zero_copy_only=False))
    is_known[acted_on] = True
    return torch.from_numpy(is_known)


def find_listed_items(lake: Lake, items: ItemIndex) -> NDArray[np.bool_]:
    """Which items [items] can be recommended: those of silver.items, or all if that table is empty."""
    catalogue = lake.arrow("silver.items", ["item_id"])["item_id"].combine_chunks()
    if not len(catalogue):
        return np.ones(len(items.ids), bool)
    return np.array(pc.is_in(items.ids, catalogue).to_numpy(zero_copy_only=False))


def load_unique_codes(lake: Lake, items: ItemIndex, version: str, day: date) -> Tensor:
    """The codes and the twin number of each item [items, levels] in a codebook version, as they were on a day.

    returns  no row twice; -1 for an item without an ID
    raises   UserError if two items have the same semantic ID and twin number
    """
    where = (ds.field("codebook_version") == version) & (ds.field("day") <= day)
    rows = lake.arrow(IDS, ["item_id", *CODES, "twin"], where)
    places = items.index_of(rows["item_id"])
    codes = torch.full((len(items.ids), len(CODES) + 1), -1, dtype=torch.int64)
    values = np.stack([rows[name].to_numpy() for name in (*CODES, "twin")], axis=1).astype(np.int64)
    codes[torch.from_numpy(places[places >= 0])] = torch.from_numpy(values[places >= 0])
    try:
        CodeTrie.build(codes)
    except ValueError as error:
        message = f"gold.semantic_ids of {version} is damaged ({error}); restore it to an earlier version"
        raise UserError(message) from None
    return codes


def read_columns(lake: Lake, items: ItemIndex, names: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The index of each item that silver.items has, and its values in these columns."""
    for part in large_parts(lake.batches("silver.items", ["item_id", *names]), len(items.ids)):
        places = items.index_of(part["item_id"]).tolist()
        rows = chain.from_iterable(batch.to_pylist() for batch in part.select(names).to_batches())
        yield from ((place, row) for place, row in zip(places, rows, strict=True) if place >= 0)


def load_item_texts(lake: Lake, items: ItemIndex) -> list[str]:
    """The text of each item [items], empty for an item that silver.items does not have."""
    texts = [""] * len(items.ids)
    for place, row in read_columns(lake, items, ["text"]):
        texts[place] = row["text"]
    return texts


def _load_text_vectors(lake: Lake, items: ItemIndex, encoder: str, day: date) -> Tensor:
    ids, vectors, _ = dated_vectors(lake, encoder, until=day)
    text = torch.zeros(len(items.ids), vectors.shape[1])
    text[torch.from_numpy(items.index_of(pa.array(ids, pa.string())))] = torch.from_numpy(vectors)
    return text
