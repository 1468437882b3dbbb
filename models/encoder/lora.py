"""Low-rank adapters (LoRA, arXiv 2106.09685) in the decoder of a language model."""

from torch import Tensor, nn
from transformers import PreTrainedModel

MARK = ".lora_"  # in the names of the weights that peft adds
BASE = ".base_layer."  # in the names of the weights of a layer that has an adapter


def add_adapters(model: PreTrainedModel, rank: int) -> None:
    """Add an adapter to every linear layer of the decoder, in place, and freeze all other weights.

    raises  ValueError if the decoder has no linear layer, as that of GPT-2
    """
    from peft import LoraConfig, inject_adapter_in_model  # needed only if there are adapters

    decoder = set(model.get_decoder().modules())  # type: ignore[no-untyped-call]  # transformers gives it no types
    layers = [name for name, part in model.named_modules() if isinstance(part, nn.Linear) and part in decoder]
    if not layers:
        raise ValueError("none of its layers can have LoRA adapters: set lora_rank = 0, which trains all weights")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers), model)


def adapter_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors of the adapters; empty if the model has no adapters."""
    return {name: tensor for name, tensor in model.state_dict().items() if MARK in name}


def weights_without_adapters(model: PreTrainedModel) -> dict[str, Tensor]:
    """The other tensors of the model, under the names that they have without adapters."""
    return {name.replace(BASE, "."): tensor for name, tensor in model.state_dict().items() if MARK not in name}
