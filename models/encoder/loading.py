"""Load the encoder in a folder or of a name, whatever kind it is."""

from collections.abc import Sequence

from models.encoder.embedder import Embedder
from models.encoder.sentence_embedder import SentenceEmbedder, TunableSentence
from models.encoder.three_segment_embedder import (
    Questions,
    ThreeSegmentEmbedder,
    TunableThreeSegment,
    is_decoder,
    looks_at_images,
    was_tuned,
)


def load(model: str, *, max_tokens: int, image_folder: str = "") -> Embedder:
    """Load an encoder to embed with.

    A tuned language model or one that can look at images becomes a three-segment encoder. Any other model uses its own
    pooling.

    model         folder or Hugging Face name
    image_folder  that names of images are relative to; empty: images are ignored
    raises        OSError or ValueError if there is no readable model
    """
    if was_tuned(model) or looks_at_images(model):
        return ThreeSegmentEmbedder(model, max_tokens=max_tokens, image_folder=image_folder)
    return SentenceEmbedder(model, max_tokens=max_tokens)


def load_tunable(
    model: str, texts: Sequence[str], images: Sequence[str | None], questions: Sequence[Questions], *,
    max_tokens: int, image_folder: str, embs: int, rank: int | None, checkpointing: bool, warm_start: float,
) -> TunableSentence | TunableThreeSegment:  # fmt: skip
    """Load an encoder to tune.

    A decoder-only language model gets three segments. An encoder-only model is tuned with the contrastive loss alone.

    texts, images, questions  [items]; the other arguments as of TunableThreeSegment
    raises                    OSError or ValueError if there is no readable model
    """
    if not is_decoder(model):
        return TunableSentence(model, texts, max_tokens=max_tokens)
    return TunableThreeSegment(
        model,
        texts,
        images,
        questions,
        max_tokens=max_tokens,
        image_folder=image_folder,
        embs=embs,
        rank=rank,
        checkpointing=checkpointing,
        warm_start=warm_start,
    )
