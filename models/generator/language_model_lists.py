"""The items that a language model writes for prompts: the beam search over codes, in batches of similar length."""

from collections.abc import Sequence

import numpy as np
import torch

from models.generator.beam import Beams, search
from models.generator.excluded import Ints
from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_tokens import CodeTokens
from models.generator.task_data import newest_items
from models.generator.tasks import query_prompt, sequence_prompt
from models.generator.trie import CodeTrie
from models.ranker.histories import Histories, Int64s
from models.token_batches import token_batches


def history_prompts(
    tokens: CodeTokens, histories: Histories, users: Int64s, ends: Int64s, *, limit: int
) -> list[list[int]]:
    """The prompts that make the users' lists. A user without items that have codes gets the prompt of a new user.

    users, ends  [users] whose histories, and where each ends
    limit        tokens that the model can read
    """
    pairs = zip(users.tolist(), ends.tolist(), strict=True)
    rows = [sequence_prompt(newest_items(histories, tokens.has_codes, user, end)) for user, end in pairs]
    return tokens.prompts(rows, limit)


def query_prompts(tokens: CodeTokens, texts: Sequence[str], *, limit: int) -> list[list[int]]:
    """The prompts that find items for texts."""
    return tokens.prompts(map(query_prompt, texts), limit)


def generate(
    model: CodeLanguageModel,
    trie: CodeTrie,
    prompts: Sequence[Sequence[int]],
    *,
    beam: int,
    tokens_per_batch: int,
    excluded: tuple[Ints, Ints],
) -> Beams:
    """The best items for each prompt, on the CPU. Every prompt is read once.

    prompts           token ids, see `history_prompts` and `query_prompts`
    tokens_per_batch  of prompts that are read together, with padding
    excluded          as in `search`, for the prompts
    raises            ValueError if the model cannot keep what it read of a prompt
    """
    items = torch.full((len(prompts), beam), -1, dtype=torch.int64)
    scores = torch.full((len(prompts), beam), -torch.inf)
    offsets, excluded_items = excluded
    for batch in token_batches([len(prompt) for prompt in prompts], tokens_per_batch):
        read = model.read_prompts([prompts[place] for place in batch])
        parts = [excluded_items[offsets[place] : offsets[place + 1]] for place in batch]
        part_offsets = np.cumsum([0, *map(len, parts)])
        beams = search(
            trie,
            read.step,
            users=len(batch),
            beam=beam,
            renormalise=True,
            excluded=(part_offsets, np.concatenate(parts)),
        )
        items[batch], scores[batch] = beams.items.cpu(), beams.scores.cpu()
    return Beams(items, scores)
