"""The files of a three-segment encoder: an ordinary Hugging Face model, and the weights that were added to it.

config.json, model*.safetensors, tokenizer files   the language model without its adapters
encoder.safetensors                                <EMB> rows and adapters (metadata: their rank); of a vision-language
                                                   model also the projector again, because the model's own file has one
                                                   number type for all weights
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.utils.logging import disable_progress_bar

from models.encoder import vision
from models.encoder.lora import adapter_weights, weights_without_adapters
from models.encoder.three_segment import ThreeSegmentEncoder, embeddings
from models.pretrained import check_weights

ADDED_WEIGHTS = "encoder.safetensors"


def save(encoder: ThreeSegmentEncoder, folder: Path, tokenizer: PreTrainedTokenizerBase | ProcessorMixin) -> None:
    """Write everything that load() needs, also the tokenizer or the processor of a vision-language model."""
    encoder.model.save_pretrained(folder, state_dict=weights_without_adapters(encoder.model))
    tokenizer.save_pretrained(folder)
    tensors = adapter_weights(encoder.model) | vision.projector_weights(encoder.model) | {"emb": encoder.emb.detach()}
    rank = {} if encoder.rank is None else {"rank": str(encoder.rank)}
    save_file({name: t.contiguous().cpu() for name, t in tensors.items()}, folder / ADDED_WEIGHTS, metadata=rank)


def load(
    source: str, *, embs: int = 3, rank: int | None = None, bf16: bool = False, checkpointing: bool = False
) -> ThreeSegmentEncoder:
    """Load an encoder to train, from a folder that save() wrote or from any causal language model.

    source  folder or name of the model
    embs    <EMB> tokens, for a model that has none yet
    rank    of the adapters; None to train all weights
    raises  ValueError if the encoder was saved with adapters of another rank; OSError if there is no readable model
    """
    added, saved_rank = _read_added_weights(source)
    if saved_rank not in (None, rank):
        raise ValueError(f"{source} has adapters of rank {saved_rank}: they cannot be tuned further with rank {rank}")
    embs = len(added["emb"]) if added else embs
    model = _load_language_model(source, bf16)
    encoder = ThreeSegmentEncoder(model, embs=embs, rank=rank, bf16=bf16, checkpointing=checkpointing)
    _copy_weights(encoder, added)
    return encoder.train()


def load_frozen(source: str, *, bf16: bool = False, emb_token: int | None = None) -> ThreeSegmentEncoder:
    """Load an encoder to embed with, from a folder that save() wrote. All weights get the type they compute in.

    emb_token  token that is used as <EMB> if no <EMB> token was trained
    raises     ValueError if no <EMB> token was trained and no other token is given; OSError if there is no readable
               model
    """
    added, rank = _read_added_weights(source)
    if not added and emb_token is None:
        raise ValueError(
            f"{source} has no {ADDED_WEIGHTS}: it was never trained to embed, and has no end-of-text token"
        )
    model = _load_language_model(source, bf16)
    if not added:
        added = {"emb": embeddings(model)(torch.tensor([emb_token])).detach()}
    encoder = ThreeSegmentEncoder(model, embs=len(added["emb"]), rank=rank, bf16=bf16)
    _copy_weights(encoder, added)
    for parameter in encoder.requires_grad_(False).parameters():
        if bf16:  # not .to(): the frequencies of rotary positions, a buffer, must stay in float32
            parameter.data = parameter.data.bfloat16()
    return encoder.eval()


def _load_language_model(source: str, bf16: bool) -> PreTrainedModel:
    """raises OSError or ValueError if there is no readable model, or if some of its weights are missing"""
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers gives it no types
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    dtype = "auto" if bf16 else torch.float32
    loaded: Any = kind.from_pretrained(
        source, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    return check_weights(*loaded)


def _read_added_weights(source: str) -> tuple[dict[str, Tensor], int | None]:
    """The added weights of a folder and the adapters' rank; empty and None if save() did not write the folder."""
    path = Path(source) / ADDED_WEIGHTS
    if not path.exists():
        return {}, None
    with safe_open(path, framework="pt") as file:
        rank = (file.metadata() or {}).get("rank")
        return {name: file.get_tensor(name) for name in file.keys()}, int(rank) if rank else None  # noqa: SIM118


def _copy_weights(encoder: ThreeSegmentEncoder, weights: dict[str, Tensor]) -> None:
    for name, tensor in weights.items():
        target = encoder.emb if name == "emb" else encoder.model.get_parameter(name)
        target.data.copy_(tensor)
