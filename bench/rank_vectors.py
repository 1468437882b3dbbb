"""Vectors of a log's items: MiniLM of their texts, untuned or tuned as the job `align` does it."""

import torch
from align import build_plan
from rank_logs import LabelledLog
from swing import EventLog, index_pairs

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Align, Encoder
from jobs.item_pairs.settings import Pairs
from jobs.runtime.progress import progress
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder, TunableSentence
from models.encoder.tuning import tune


def embed_texts(texts: list[str], encoder: Encoder) -> torch.Tensor:
    """[items, dim] float32, from the untuned encoder."""
    return _embed(SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens), texts, encoder)


def tune_and_embed(log: LabelledLog, encoder: Encoder, align: Align, seed: int) -> torch.Tensor:
    """[items, dim] float32, from an encoder tuned on Swing pairs of the liked items of the training rows."""
    is_train_like = (log.part == 0) & (log.label == 1)
    events = EventLog.from_clicks(log.user[is_train_like], log.item[is_train_like], log.ts[is_train_like])
    pairs = index_pairs(events.find_pairs("true", Pairs()), {str(item): item for item in range(len(log.texts))})
    model = TunableSentence(encoder_location(encoder), log.texts, max_tokens=encoder.max_tokens)
    plan = build_plan(align, seed)
    tune(model, model.collate, pairs, len(log.texts), plan, progress=progress("tuning", every=30))
    return _embed(model.sentence, log.texts, encoder)


def _embed(sentence: SentenceEmbedder, texts: list[str], encoder: Encoder) -> torch.Tensor:
    report_progress = progress("embedding", every=30)
    vectors = embedder.embed(sentence, texts, tokens_per_batch=encoder.tokens_per_batch, progress=report_progress)
    return torch.from_numpy(vectors)
