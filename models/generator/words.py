"""The words of texts as numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize
from zlib import crc32

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

LONGEST = 64  # words of a text that are read; a title is at its beginning
BUCKETS = 2**16  # words are numbered by a hash, so that a new word needs no list of words
# Chinese, Japanese, Korean and Thai put no spaces between words: there, two letters that follow each other are a word.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# Signs above, below and between letters belong to the word, but `\w` leaves them out: accents, and the vowels of
# Hebrew, Arabic and the scripts of India (there, whole blocks without the full stops \u0964 and \u0965).
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u0900-\u0963\u0966-\u0dff\u1000-\u109f\u1780-\u17d3\u1ab0-\u1aff\u1dc0-\u1dff"
)
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:[^\W{_UNSPACED}]|[{_SIGNS}])+")
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}  # full-width Latin letters, digits and signs


@dataclass(frozen=True)
class Words:
    """The words of texts. Text t has the words [offsets[t], offsets[t + 1]), each once.

    offsets  [texts + 1] int64
    numbers  [words] int64, below BUCKETS
    """

    offsets: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def read(cls, texts: Iterable[str]) -> "Words":
        """Split texts into words and number the first LONGEST of each. Upper and lower case are the same."""
        numbers, counts = [], [0]
        for text in texts:
            words = {crc32(word.encode()) % BUCKETS for word in split(text)[:LONGEST]}
            numbers.extend(sorted(words))
            counts.append(len(words))
        return cls(torch.tensor(counts).cumsum(0), torch.tensor(numbers, dtype=torch.int64))

    def take(self, texts: Tensor) -> "Words":
        """The words of texts [n] int64; a text of -1 has none."""
        begins = self.offsets[texts]  # of text -1 it is the end, and the length is 0
        counts = torch.where(texts < 0, 0, self.offsets[(texts + 1).clamp(min=0)] - begins)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        places = torch.arange(int(offsets[-1]), device=texts.device)
        return Words(offsets, self.numbers[places + torch.repeat_interleave(begins - offsets[:-1], counts)])

    def to(self, device: torch.device) -> "Words":
        return Words(self.offsets.to(device), self.numbers.to(device))

    def tf_idf(self) -> Any:
        """TF-IDF vectors of unit length: a scipy.sparse.csr_matrix [texts, BUCKETS] float32; zeros for no words."""
        numbers, offsets = self.numbers.numpy(), self.offsets.numpy()
        weights = self.weigh().numpy()[numbers]
        lengths = np.sqrt(np.add.reduceat(np.append(weights**2, 0), offsets[:-1]))
        weights = weights / np.maximum(np.repeat(lengths, np.diff(offsets)), 1e-9)
        return sparse.csr_matrix((weights.astype(np.float32), numbers, offsets), (len(self), BUCKETS))

    def weigh(self) -> Tensor:
        """How rare each bucket is among the texts [BUCKETS] float32: log(texts / texts with it), 0 if none has it."""
        counts = torch.bincount(self.numbers, minlength=BUCKETS)
        return torch.where(counts > 0, (max(len(self), 1) / counts.clamp(min=1)).log(), 0.0)


def split(text: str) -> list[str]:
    """The words of a text in lower case. A letter with an accent is the same, written as one sign or as two."""
    words: list[str] = []
    for word in _WORD.findall(normalize("NFC", text.translate(_NARROW).lower())):
        is_unspaced = len(word) > 2 and re.match(f"[{_UNSPACED}]", word)
        words += [word[place : place + 2] for place in range(len(word) - 1)] if is_unspaced else [word]
    return words
