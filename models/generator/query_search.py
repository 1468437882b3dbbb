"""Search for items by a text: what the generator writes, items that share its words, items whose vectors are near."""

import torch
from torch import Tensor

from models.candidates import OFFSET
from models.generator.items import ItemEmbedding
from models.generator.model import Generator
from models.generator.recommend import build_trie, find_best_codes, find_best_items
from models.generator.words import Words

LIST = 50  # items of each of the lists that are joined


@torch.no_grad()
def find_lists(model: Generator, words: Words, text: Tensor, is_listed: Tensor, beam: int) -> dict[str, list[int]]:
    """Three lists of items for a query, best first: of the generator, by words, and by text vectors.

    The generator alone finds few items by words that it saw seldom. The other two find these, but know nothing else.

    words      of one query
    text       [1, text_dim] its vector; without columns if the design reads no text vectors
    is_listed  [items] bool: the other items are in no list
    beam       width of the search for codes
    raises     ValueError if the design reads neither words nor text
    """
    words, text = words.to(model.device), text.to(model.device)
    return {
        "generator": _list_generated(model, words, text, is_listed, beam),
        "words": list_by_words(model.items.all_words(), model.items.rarity, words, is_listed),
        "text": _list_best(score_by_text(model.items, text), is_listed),
    }


def join_lists(lists: dict[str, list[int]], k: int) -> list[tuple[int, float]]:
    """The best k items of several lists by reciprocal rank fusion, with their scores. Of equal ones the first wins."""
    votes: dict[int, float] = {}
    for items in lists.values():
        for rank, item in enumerate(items, start=1):
            votes[item] = votes.get(item, 0.0) + 1 / (OFFSET + rank)
    return sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:k]


def list_by_words(item_words: Words, rarity: Tensor, words: Words, is_listed: Tensor) -> list[int]:
    """The items that share most words with a query, best first. Arguments as for `find_lists` and `score_by_words`."""
    return _list_best(score_by_words(item_words, rarity, words), is_listed)


def score_by_words(item_words: Words, rarity: Tensor, words: Words) -> Tensor:
    """The cosine [items] between TF-IDF vectors of a query's words and of each item's words; 0 for no word.

    item_words  of each item
    rarity      [BUCKETS] float32, how much a word counts: see `Words.weigh`
    """
    owners = torch.repeat_interleave(item_words.offsets.diff())
    squares = rarity[item_words.numbers] ** 2
    totals, shared = squares.new_zeros(2, len(item_words))
    totals.index_add_(0, owners, squares)
    shared.index_add_(0, owners, squares * torch.isin(item_words.numbers, words.numbers))
    length = (rarity[words.numbers] ** 2).sum()
    cosines: Tensor = shared * (totals * length).clamp(min=1e-12).rsqrt()
    return cosines


def score_by_text(items: ItemEmbedding, text: Tensor) -> Tensor:
    """The cosine [items] between the query's vector [1, text_dim] and each item's text vector; 0 without vectors."""
    return (items.text @ text.squeeze(0))[:-1]


def _list_generated(model: Generator, words: Words, text: Tensor, is_listed: Tensor, beam: int) -> list[int]:
    states = model.encode_queries(words, text)
    if model.design.heads[0] == "codes":
        best = find_best_codes(model, states, build_trie(model, is_listed), k=LIST, beam=max(beam, LIST))
    else:
        best = find_best_items(model, states, LIST, is_allowed=is_listed)
    return [item for item in best.items[0].tolist() if item >= 0]


def _list_best(scores: Tensor, is_listed: Tensor) -> list[int]:
    """The items with the highest scores above 0. Of equal scores, the first item wins."""
    scores = scores.masked_fill(~is_listed, 0.0)
    order = scores.sort(descending=True, stable=True)
    return order.indices[:LIST][order.values[:LIST] > 0].tolist()
