"""Token ids of rows: those of the language model's own tokenizer for texts, and ids after its vocabulary for codes.

The tokenizer never learns the codes. No text, whatever a stranger wrote in it, can become the token of a code. Text
that spells a special token stays text as well.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from models.generator.tasks import Pieces

LEVELS = "abcdefghijklmnopqrstuvwxyz"  # <a_12><b_7>: the letter names the level


class CodeTokens:
    """Turns pieces into token ids.

    tokenizer   of the language model
    vocabulary  tokens that the language model has an embedding for; the codes have the ids after them, level by level
    codes       [items, levels] int64; -1 in the rows of items without codes
    sizes       [levels] codes of each level
    raises      ValueError if a code is not below its level's size
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, codes: NDArray[np.int64], sizes: Sequence[int]
    ) -> None:
        if codes.shape[1] != len(sizes) or (codes.max(0, initial=-1) >= np.array(sizes)).any():
            raise ValueError(f"the model has codes for levels of {list(sizes)}: items have others, it must be extended")
        self.tokenizer = tokenizer
        self.tokenizer.split_special_tokens = True  # "<|im_end|>" in a title is a word
        self.has_codes: NDArray[np.bool_] = np.all(codes >= 0, axis=1)
        self.ids = codes + (vocabulary + np.concatenate([[0], np.cumsum(sizes)[:-1]]))
        self.start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]

    def tokenize(self, rows: Iterable[Pieces]) -> list[list[int]]:
        """Token ids of rows, without the token that begins a text."""
        rows = list(rows)
        texts = list(dict.fromkeys(piece for row in rows for piece in row if isinstance(piece, str)))
        read = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        of_text = dict(zip(texts, read, strict=True))
        pieces = [
            [of_text[piece] if isinstance(piece, str) else self.ids[piece].tolist() for piece in row] for row in rows
        ]
        return [list(chain.from_iterable(row)) for row in pieces]

    def prompts(self, rows: Iterable[Pieces], limit: int) -> list[list[int]]:
        """Token ids of prompts. A prompt of more than `limit` tokens loses its oldest ones."""
        room = limit - len(self.start)
        return [self.start + tokens[-room:] for tokens in self.tokenize(rows)]
