"""Whether a model folder held all that it should: transformers makes up what is missing, at random or empty."""

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase


def complete(model: Any, info: dict[str, Any]) -> PreTrainedModel:
    """The model as from_pretrained() gives it with output_loading_info. raises ValueError if it lacks weights"""
    if lacking := sorted(info["missing_keys"]):
        raise ValueError(f"{len(lacking)} of its weights are not in its files, such as {lacking[0]}")
    loaded: PreTrainedModel = model
    return loaded


def known(tokenizer: PreTrainedTokenizerBase) -> None:
    """raises ValueError if the tokenizer knows no words, as where its files are missing"""
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError("its tokenizer knows no words")
