"""Check that a model folder was complete: transformers fills gaps with random weights or an empty vocabulary."""

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_weights(model: Any, info: dict[str, Any]) -> PreTrainedModel:
    """The model, if none of its weights was missing.

    model, info  what from_pretrained() returns with output_loading_info
    raises       ValueError if weights were missing
    """
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"{len(missing)} of its weights are not in its files, such as {missing[0]}")
    loaded: PreTrainedModel = model
    return loaded


def check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that a tokenizer has a vocabulary. It has none if its files are missing. raises ValueError"""
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError("its tokenizer knows no words")
