"""Which kind of encoder a folder or name holds."""

from collections.abc import Sequence

from models.encoder.compressed import (
    Compressed,
    Questions,
    TunableCompressed,
    is_decoder,
    looks_at_images,
    was_tuned,
)
from models.encoder.sentence import Sentence, TunableSentence
from models.encoder.text import Embedder


def load(model: str, *, max_tokens: int, image_folder: str = "") -> Embedder:
    """To embed with: three segments where they were tuned or images can be looked at, else the model's own pooling.

    image_folder  that names of images are relative to; empty: images are not looked at
    raises        OSError or ValueError if there is no readable model
    """
    if was_tuned(model) or looks_at_images(model):
        return Compressed(model, max_tokens=max_tokens, image_folder=image_folder)
    return Sentence(model, max_tokens=max_tokens)


def tunable(
    model: str, texts: Sequence[str], images: Sequence[str | None], questions: Sequence[Questions], *,
    max_tokens: int, image_folder: str, embs: int, rank: int | None, checkpointing: bool, warm_start: float,
) -> TunableSentence | TunableCompressed:  # fmt: skip
    """To tune: three segments for a decoder-only language model, contrastive alone for an encoder-only one.

    texts, images, questions  [items]
    raises                    OSError or ValueError if there is no readable model
    """
    if not is_decoder(model):
        return TunableSentence(model, texts, max_tokens=max_tokens)
    return TunableCompressed(
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
