"""The best items for a text, by the trained generator: `python -m jobs.generate --day <day> --query <text>`.

Reads gold.releases, silver.items, the generator that was live after the day, and what it reads texts with: an encoder,
or for a language model gold.semantic_ids. It lists items that silver.items still has, whether anybody acted on them or
not. Three lists are joined: what the generator writes, items that share words, and, if the generator reads text
vectors, items whose vectors are near.
The table goes to standard error; the last line on standard output has the same rows as `items`. Writes no table but
ops.runs, where the job is called `query`.
"""

import sys
from datetime import date, timedelta
from textwrap import shorten
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from jobs.encoders.location import load_embedder
from jobs.encoders.tuned_encoders import find_encoder
from jobs.generation.language_model_folder import ORIGIN
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.arrow import distinct_strings
from jobs.ranking.items import ItemIndex
from jobs.release.model_store import is_stored, load_card, read_model
from jobs.release.releases import live_release
from jobs.reporting.queries import load_titles
from jobs.runtime.printable import printable
from jobs.settings.tree import Settings
from models.encoder import embedder
from models.generator import load
from models.generator.query_search import find_lists, join_lists
from models.generator.words import Words, split
from models.precision import device

SHOWN = 20  # items


def answer_query(lake: Lake, settings: Settings, day: date, query: str) -> JobResult:
    """Print the best items for a text.

    raises  UserError if the text has no word or is not valid UTF-8, or if there is no generator that can read it
    """
    if any("\ud800" <= letter <= "\udfff" for letter in query):  # what Python makes of bytes that are not UTF-8
        raise UserError(f"--query {query!r} is not valid UTF-8: write it again")
    if not split(query):
        raise UserError(f"--query {query!r} has no word: describe an item, for example --query 'red enamel mug'")
    uri = _find_generator(lake, day)
    catalogue = ItemIndex(distinct_strings(batch["item_id"] for batch in lake.batches("silver.items", ["item_id"])))
    if not len(catalogue.ids):
        raise UserError("silver.items has no items: land items, then run the day")
    if is_stored(lake, f"{uri}/{ORIGIN}"):
        from jobs.generation.language_model_query import ask_language_model  # slow to import

        lists = ask_language_model(lake, settings, uri, catalogue, query, day)
    else:
        lists = _ask_design(lake, settings, uri, catalogue, query, day)
    if not lists["words"]:
        print("no item has a word of the query: the list shows what is near it", file=sys.stderr, flush=True)
    rows = _build_rows(lake, catalogue, lists)
    _print_table(f"{shorten(query, 200)}: by {uri}", rows)
    return JobResult(rows_out=len(rows), notes={"query": query, "generator_uri": uri, "items": rows})


def _find_generator(lake: Lake, day: date) -> str:
    """Where the trained generator is that was live after a day."""
    release = live_release(lake, before=str(day + timedelta(days=1)))
    if release is None:
        raise UserError(f"no model was live after {day}: choose a later day, or run that day first")
    if not release["generator_uri"]:
        raise UserError(
            f"no trained generator was live after {day}, and the item graph reads no texts: either the generator of the"
            " day did not go live (the log of generate says why), or a rollback went back to a release without one;"
            " set [generator] preset to sidereal and run the next day"
        )
    return str(release["generator_uri"])


def _ask_design(
    lake: Lake, settings: Settings, uri: str, catalogue: ItemIndex, query: str, day: date
) -> dict[str, list[int]]:
    """The lists of a generator that is no language model: items of the catalogue by their index, best first.

    raises  UserError if it does not read texts, or if it or its encoder is missing or damaged
    """
    model, places = read_model(lake, uri, catalogue, load)
    if not model.design.reads_queries:
        raise UserError(
            f"the generator that was live after {day} does not know items by their texts, but by"
            f" {' and '.join(model.design.inputs)}: set [generator] preset to sidereal and run a day"
        )
    version = load_card(lake, uri).encoder_version
    vector = _embed(lake, settings, version, query) if "text" in model.design.inputs else torch.zeros(1, 0)
    model = model.to(device())
    is_listed = torch.zeros(model.n_items, dtype=torch.bool, device=model.device)
    is_listed[places[places >= 0].to(model.device)] = True
    lists = find_lists(model, Words.read([query]), vector, is_listed, settings.generator.beam)
    index = {place: item for item, place in enumerate(places.tolist())}
    return {name: [index[place] for place in items] for name, items in lists.items()}


def _embed(lake: Lake, settings: Settings, version: str, query: str) -> Tensor:
    """The vector of the query [1, dim], by the encoder of this version."""
    found = find_encoder(lake, settings, version)
    if found is None:
        raise UserError(
            f"the generator reads texts with the encoder {version}, which is neither in the lake nor named by"
            " [encoder] model: set it to the model of that version"
        )
    encoder, with_limit = found
    model = load_embedder(encoder, with_limit.encoder)
    try:
        return torch.from_numpy(embedder.embed(model, [query], tokens_per_batch=with_limit.encoder.tokens_per_batch))
    except embedder.NotFiniteError as error:
        raise UserError(f"the encoder {version} cannot be used: {error}; restore its folder") from None


def _build_rows(lake: Lake, catalogue: ItemIndex, lists: dict[str, list[int]]) -> list[dict[str, Any]]:
    """The best items of the lists, which hold indices of the catalogue."""
    best = [(item, catalogue.ids[item].as_py(), score) for item, score in join_lists(lists, SHOWN)]
    titles = load_titles(lake, {item_id for _, item_id, _ in best})
    return [
        {
            "rank": rank,
            "item_id": item_id,
            "title": titles[item_id],
            "score": score,
            "sources": [name for name, items in lists.items() if item in items],
        }
        for rank, (item, item_id, score) in enumerate(best, start=1)
    ]


def _print_table(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=escape(printable(title)))
    for column in ("rank", "item_id", "title", "score", "sources"):
        table.add_column(column)
    for row in rows:
        cells = row["item_id"], row["title"], f"{row['score']:.3f}", " ".join(row["sources"])
        table.add_row(str(row["rank"]), *(escape(printable(cell)) for cell in cells))
    Console(stderr=True).print(table)
