"""Which kind of encoder a folder or name holds."""

from collections.abc import Sequence

from models.encoder.compressed import Compressed, Questions, TunableCompressed, is_decoder, was_tuned
from models.encoder.sentence import Sentence, TunableSentence
from models.encoder.text import Embedder


def load(model: str, *, max_tokens: int) -> Embedder:
    """To embed with: a three-segment encoder where one was tuned, else the model with its own pooling.

    raises  OSError or ValueError if there is no readable model
    """
    return Compressed(model, max_tokens=max_tokens) if was_tuned(model) else Sentence(model, max_tokens=max_tokens)


def tunable(
    model: str, texts: Sequence[str], questions: Sequence[Questions], *, max_tokens: int, embs: int,
    rank: int | None, checkpointing: bool, warm_start: float,
) -> TunableSentence | TunableCompressed:  # fmt: skip
    """To tune: three segments for a decoder-only language model, contrastive alone for an encoder-only one.

    texts, questions  [items]
    raises            OSError or ValueError if there is no readable model
    """
    if not is_decoder(model):
        return TunableSentence(model, texts, max_tokens=max_tokens)
    return TunableCompressed(
        model,
        texts,
        questions,
        max_tokens=max_tokens,
        embs=embs,
        rank=rank,
        checkpointing=checkpointing,
        warm_start=warm_start,
    )
