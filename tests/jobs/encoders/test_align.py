"""Tuning the encoder in the daily run, and whether it goes live."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from jobs import align, ask, embed
from jobs.encoders.location import EncoderRef, encoder_location
from jobs.encoders.settings import Align, Encoder
from jobs.encoders.tuned_encoders import base_encoder, live_encoder
from jobs.encoders.tuning_data import Pairs, load_kept_pairs, load_tuning_items, read_tuning_pairs
from jobs.encoders.tuning_worker import tune_in_folder
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings, load_settings
from models.encoder import embedder
from models.encoder.loading import load
from models.encoder.three_segment_embedder import was_tuned
from tests.jobs.lake_rows import DAY, put
from tests.llm import tiny_llm

KINDS = ("tea", "soap", "lamp", "rope", "drum", "cake", "boot", "vase")
WORDS = ("red", "small", "old", "fine", "light", "round", "soft", "plain")  # items with the same word belong together


@pytest.fixture(scope="module")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with random weights and the default encoder's words."""
    folder = tmp_path_factory.mktemp("encoder") / "small"
    tokenizer = AutoTokenizer.from_pretrained(encoder_location(Encoder()))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}  # dropout differs between workers
    bert = BertModel(BertConfig.from_dict({"vocab_size": len(tokenizer), **sizes}))
    bert.save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[words, Pooling(32)], device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def settings(small_encoder: Path) -> Settings:
    settings = load_settings()
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"model": str(small_encoder)})})


def catalogue(lake: Lake, settings: Settings, **align_settings: Any) -> Settings:
    """64 items; items with the same first word are bought together, items of the same kind are not."""
    texts = {f"{kind}-{word}": f"{word} {kind}" for kind in KINDS for word in WORDS}
    items = [
        {"item_id": item, "title": text, "text": text, "content_hash": text, "file": "items", "line": 1, "day": DAY}
        for item, text in texts.items()
    ]
    put(lake, "silver.items", items[:20])
    lake.append("silver.items", pa.Table.from_pylist(items[20:], contracts()["silver.items"].arrow))
    pairs = [
        (a, b, "yes" if a.split("-")[1] == b.split("-")[1] else "no")
        for a in texts for b in texts if a < b and (a.split("-")[1] == b.split("-")[1] or a[0] == b[0] == "t")
    ]  # fmt: skip
    put(
        lake, "silver.item_pairs",
        [{"item_a": a, "item_b": b, "source": "swing", "score": 1.0, "verdict": verdict, "day": DAY - timedelta(days=1)}
         for a, b, verdict in pairs],
    )  # fmt: skip
    align_section = Align(
        **({"every_days": 1, "min_pairs": 10, "steps": 20, "items_per_batch": 64, "lr": 0.01} | align_settings)
    )
    return settings.model_copy(update={"align": align_section})


def test_a_tuned_encoder_that_finds_held_out_partners_better_goes_live(lake: Lake, settings: Settings) -> None:
    settings = catalogue(lake, settings)
    embed.run(lake, settings, DAY)
    notes = align.run(lake, settings, DAY).notes
    assert notes["live"]
    assert notes["hr_at_10"] > notes["hr_at_10_live"] + 0.2
    train, held_out = load_kept_pairs(lake, settings, DAY)
    assert held_out
    assert not set(train) & set(held_out)
    assert all(a.split("-")[1] == b.split("-")[1] for a, b in train + held_out), "the judge dropped the others"
    live = live_encoder(lake, settings, DAY)
    assert live.version == notes["encoder_version"]
    assert live_encoder(lake, settings, DAY - timedelta(days=1)) == base_encoder(settings)
    assert len(current_vectors(lake, live.version)[0]) == 64
    assert "same pairs" in align.run(lake, settings, DAY).notes["skipped"]
    assert embed.run(lake, settings, DAY).rows_out == 0


def language_model(settings: Settings, folder: Path) -> Settings:
    words = ["[UNK]", *KINDS, *WORDS, "What", "is", "the", "item", "called", "?"]
    vocabulary = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    vocabulary.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, pad_token="[UNK]")  # type: ignore[no-untyped-call]  # no types
    tokenizer.save_pretrained(folder)
    tiny_llm().save_pretrained(folder)
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"model": str(folder)})})


def test_a_language_model_learns_to_answer_from_its_emb_tokens_and_goes_live(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    settings = language_model(settings, tmp_path)
    settings = catalogue(lake, settings, steps=40, items_per_chunk=30, lora_rank=4)
    embed.run(lake, settings, DAY)
    ask.run(lake, settings, DAY)
    assert lake.arrow("silver.item_questions").num_rows >= 64
    notes = align.run(lake, settings, DAY).notes
    assert notes["live"]
    assert notes["hr_at_10"] > notes["hr_at_10_live"] + 0.1
    assert was_tuned(live_encoder(lake, settings, DAY).location)


def test_a_language_model_is_tuned_to_the_same_weights_each_time(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    settings = catalogue(lake, language_model(settings, tmp_path), steps=2, lora_rank=4)
    base, (pairs, _) = base_encoder(settings), load_kept_pairs(lake, settings, DAY)
    items = load_tuning_items(lake, settings, pairs)
    folders = [tune_in_folder(tmp_path / name, settings, base, pairs, items) for name in ("one", "again")]
    files = [{file.name: file.read_bytes() for file in folder.glob("*.safetensors")} for folder in folders]
    assert len(files[0]) > 1
    assert files[0] == files[1]


def test_two_workers_tune_the_encoder_that_one_worker_tunes(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    settings = catalogue(lake, settings, steps=3)
    base, (pairs, _) = base_encoder(settings), load_kept_pairs(lake, settings, DAY)
    items = load_tuning_items(lake, settings, pairs)
    vectors = []
    for workers in (1, 2):
        with_workers = settings.model_copy(update={"align": settings.align.model_copy(update={"workers": workers})})
        tuned = load(str(tune_in_folder(tmp_path / str(workers), with_workers, base, pairs, items)), max_tokens=16)
        vectors.append(embedder.embed(tuned, items["text"].to_pylist(), tokens_per_batch=512))
    before = embedder.embed(load(base.location, max_tokens=16), items["text"].to_pylist(), tokens_per_batch=512)
    assert np.einsum("id,id->i", *vectors).min() > 0.995
    assert np.einsum("id,id->i", before, vectors[0]).min() < 0.95


def test_an_encoder_that_is_not_better_does_not_go_live(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = catalogue(lake, settings, lr=1e-9, steps=1)
    monkeypatch.setattr(align, "MOST_HELD_OUT", 3)
    embed.run(lake, settings, DAY)
    notes = align.run(lake, settings, DAY).notes
    assert (notes["live"], notes["held_out"]) == (False, 3)
    assert live_encoder(lake, settings, DAY) == base_encoder(settings)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"every_days": 0}, "align.every_days is 0"), ({"min_pairs": 10_000}, "fewer than align.min_pairs = 10,000")],
)
def test_a_day_without_tuning_says_why(lake: Lake, settings: Settings, changed: dict[str, int], reason: str) -> None:
    settings = catalogue(lake, settings, **changed)
    assert reason in align.run(lake, settings, DAY).notes["skipped"]
    assert lake.arrow("gold.encoders").num_rows == 0


def test_a_day_is_not_tuned_again_once_a_later_one_has_run(lake: Lake, settings: Settings) -> None:
    settings = catalogue(lake, settings, steps=1)
    embed.run(lake, settings, DAY)
    first = align.run(lake, settings, DAY).notes["encoder_version"]
    other = settings.model_copy(update={"align": settings.align.model_copy(update={"seed": 1})})
    second = align.run(lake, other, DAY).notes["encoder_version"]
    assert second != first, "it is the newest day"
    embed.run(lake, settings, DAY + timedelta(days=1))
    assert "later day" in align.run(lake, settings, DAY).notes["skipped"]
    assert lake.arrow("gold.encoders")["encoder_version"].to_pylist() == [second]


def test_the_newest_day_that_judged_a_pair_counts(lake: Lake, settings: Settings) -> None:
    verdicts = [
        ("a", 2, "swing", "yes"), ("a", 1, "swing", "no"),
        ("b", 2, "swing", "no"), ("b", 1, "swing", "yes"), ("b", 1, "two_tower", "no"),
        ("c", 2, "swing", "yes"), ("c", 1, "swing", "unsure"), ("c", 1, "two_tower", None),
        ("d", 1, "swing", "unsure"),
        ("e", 1, "swing", "yes"), ("e", 0, "swing", "no"),
    ]  # fmt: skip
    rows = [
        {"item_a": a, "item_b": "z", "source": source, "score": 1.0, "verdict": v, "day": DAY - timedelta(days=before)}
        for a, before, source, v in verdicts
    ]
    put(lake, "silver.item_pairs", rows)
    train, held_out = load_kept_pairs(lake, settings, DAY)
    assert sorted(train + held_out) == [("b", "z"), ("c", "z"), ("e", "z")]


def test_pairs_that_the_live_encoder_was_tuned_on_are_left_out_of_the_comparison(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = catalogue(lake, settings)
    embed.run(lake, settings, DAY)
    align.run(lake, settings, DAY)
    before, live = load_kept_pairs(lake, settings, DAY)[0], live_encoder(lake, settings, DAY)
    assert read_tuning_pairs(live) == before
    rows = lake.arrow("silver.item_pairs").to_pylist()[::2]
    put(lake, "silver.item_pairs", [row | {"day": DAY} for row in rows])
    calls, measure_hit_rate = [], align.measure_hit_rate

    def record_call(lake: Lake, encoder: EncoderRef, held_out: Pairs, known: Pairs) -> float:
        calls.append((encoder.version, known))
        return measure_hit_rate(lake, encoder, held_out, known)

    monkeypatch.setattr(align, "measure_hit_rate", record_call)
    embed.run(lake, settings, DAY + timedelta(days=1))
    align.run(lake, settings, DAY + timedelta(days=1))
    after = load_kept_pairs(lake, settings, DAY + timedelta(days=1))[0]
    assert set(after) < set(before)
    assert calls[1][0] == live.version
    assert all(set(known) == set(before) for _, known in calls)


class StopError(Exception):
    pass


def test_a_day_before_the_tuning_keeps_its_own_encoder(lake: Lake, settings: Settings) -> None:
    settings = catalogue(lake, settings)
    row = {"encoder_version": "tuned", "base_version": base_encoder(settings).version, "pairs": 1, "held_out": 1}
    put(lake, "gold.encoders", [row | {"hr_at_10": 0.5, "hr_at_10_live": 0.4, "live": True, "day": DAY}])
    assert live_encoder(lake, settings, DAY).version == "tuned"
    assert live_encoder(lake, settings, date(2026, 11, 19)) == base_encoder(settings)
    off = settings.model_copy(update={"align": settings.align.model_copy(update={"every_days": 0})})
    assert live_encoder(lake, off, DAY) == base_encoder(settings)


@pytest.mark.parametrize(
    ("steps", "message"), [(1, "some of its vectors are not finite"), (5, r"gradient of step \d is not finite")]
)
def test_an_encoder_that_diverged_never_goes_live(lake: Lake, settings: Settings, steps: int, message: str) -> None:
    settings = catalogue(lake, settings, lr=1e30, steps=steps)
    embed.run(lake, settings, DAY)
    before = lake.version("gold.item_embeddings")
    with pytest.raises(UserError, match=rf"{message}; .*lower align\.lr"):
        align.run(lake, settings, DAY)
    assert lake.arrow("gold.encoders").num_rows == 0
    assert lake.version("gold.item_embeddings") == before


def test_two_lakes_tune_in_different_folders(
    lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have the same pairs, and therefore the same version."""
    folders = []

    def stop(folder: Path, *_: Any) -> None:
        folders.append(folder)
        raise StopError

    monkeypatch.setattr("jobs.encoders.tuning_worker.tune_in_folder", stop)
    other = Lake(tmp_path / "other")
    other.create()
    for each_lake in (lake, other, lake):
        settings = catalogue(each_lake, settings)
        with pytest.raises(StopError):
            align.run(each_lake, settings, DAY)
    assert folders[0] == folders[2] != folders[1]
