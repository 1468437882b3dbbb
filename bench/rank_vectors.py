"""Vectors of a log's items: MiniLM of their texts, as it comes and tuned as the job `align` does."""

import torch
from align import plan_of
from rank_logs import Log
from swing import Log as Events
from swing import indices

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Align, Encoder
from jobs.item_pairs.settings import Pairs
from jobs.runtime.progress import progress
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder, TunableSentence
from models.encoder.tuning import tune


def embedded(texts: list[str], encoder: Encoder) -> torch.Tensor:
    """[items, dim] float32."""
    return _vectors(SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens), texts, encoder)


def aligned(log: Log, encoder: Encoder, align: Align, seed: int) -> torch.Tensor:
    """[items, dim] float32: tuned on Swing pairs of what was liked in the training rows."""
    known = (log.part == 0) & (log.label == 1)
    events = Events.of_clicks(log.user[known], log.item[known], log.ts[known])
    pairs = indices(events.pairs("true", Pairs()), {str(item): item for item in range(len(log.texts))})
    model = TunableSentence(encoder_location(encoder), log.texts, max_tokens=encoder.max_tokens)
    plan = plan_of(align, seed)
    tune(model, model.collate, pairs, len(log.texts), plan, progress=progress("tuning", every=30))
    return _vectors(model.sentence, log.texts, encoder)


def _vectors(sentence: SentenceEmbedder, texts: list[str], encoder: Encoder) -> torch.Tensor:
    told = progress("embedding", every=30)
    return torch.from_numpy(embedder.embed(sentence, texts, tokens_per_batch=encoder.tokens_per_batch, progress=told))
