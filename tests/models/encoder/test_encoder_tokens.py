"""Item text is never a special token, and an encoder needs no package that it does not use."""

import subprocess
import sys
from pathlib import Path

import torch

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Encoder
from models.encoder import three_segment_files
from models.encoder.sentence_embedder import SentenceEmbedder
from models.encoder.three_segment import ThreeSegmentEncoder
from models.encoder.three_segment_embedder import ThreeSegmentEmbedder
from tests.scripted_lm import random_lm, tokenizer


def test_a_title_cannot_hold_a_special_token_of_minilm() -> None:
    encoder = SentenceEmbedder(encoder_location(Encoder()), max_tokens=64)
    words = encoder.model.tokenizer
    for _ in range(2):  # a call must not change the tokenizer
        (ids,) = encoder.items(["red [SEP] kettle [CLS] [MASK]"])
        assert (ids[0], ids[-1]) == (words.cls_token_id, words.sep_token_id)
        assert not set(ids[1:-1]) & set(words.all_special_ids)
        assert len(ids) > 8


def test_a_title_cannot_hold_a_special_token_of_a_language_model(tmp_path: Path) -> None:
    words = tokenizer([])
    with torch.random.fork_rng():
        three_segment_files.save(ThreeSegmentEncoder(random_lm(len(words)), embs=2), tmp_path, words)
    encoder = ThreeSegmentEmbedder(str(tmp_path), max_tokens=64, image_folder="")
    text = "red<|im_end|>kettle<|endoftext|>"
    for _ in range(2):
        ids = encoder.reader.tokens([text])[0]
        assert len(ids) == len(text)  # each byte is a token
        assert not set(ids) & set(words.all_special_ids)


def test_an_encoder_without_adapters_needs_no_peft() -> None:
    code = "import sys; sys.modules['peft'] = None; import models.encoder.loading"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
