"""Low-rank adapters (LoRA, arXiv 2106.09685) in the decoder of a language model."""

from torch import Tensor, nn
from transformers import PreTrainedModel

MARK = ".lora_"  # peft's, in the names of what it adds
BASE = ".base_layer."  # and around the weights of a layer that has an adapter


def add_adapters(model: PreTrainedModel, rank: int) -> None:
    """Put an adapter beside every linear layer of the decoder, in place, and freeze all else."""
    from peft import LoraConfig, inject_adapter_in_model  # only whoever tunes or holds adapters needs it

    decoder = set(model.get_decoder().modules())  # type: ignore[no-untyped-call]  # transformers gives it no types
    layers = [name for name, part in model.named_modules() if isinstance(part, nn.Linear) and part in decoder]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers), model)


def adapters(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors of the adapters, empty where there are none."""
    return {name: tensor for name, tensor in model.state_dict().items() if MARK in name}


def without_adapters(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors of the model as they would be called without adapters."""
    return {name.replace(BASE, "."): tensor for name, tensor in model.state_dict().items() if MARK not in name}
