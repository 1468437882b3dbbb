"""A three-segment encoder in a folder: an ordinary Hugging Face model, and what was put beside it.

config.json, model*.safetensors, tokenizer files   the language model without its adapters
encoder.safetensors                                <EMB> rows, adapters (metadata: their rank), and the projector of a
                                                   vision-language model again, as the model's file has one type for all
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
from models.encoder.lora import adapters, without_adapters
from models.encoder.three_segment import ThreeSegmentEncoder, embeddings
from models.encoder.whole import complete

BESIDE = "encoder.safetensors"


def save(encoder: ThreeSegmentEncoder, folder: Path, tokenizer: PreTrainedTokenizerBase | ProcessorMixin) -> None:
    """Write all that load() needs. The tokenizer, or the processor of a vision-language model, goes with it."""
    encoder.model.save_pretrained(folder, state_dict=without_adapters(encoder.model))
    tokenizer.save_pretrained(folder)
    tensors = adapters(encoder.model) | vision.projector(encoder.model) | {"emb": encoder.emb.detach()}
    rank = {} if encoder.rank is None else {"rank": str(encoder.rank)}
    save_file({name: t.contiguous().cpu() for name, t in tensors.items()}, folder / BESIDE, metadata=rank)


def load(
    source: str, *, embs: int = 3, rank: int | None = None, bf16: bool = False, checkpointing: bool = False
) -> ThreeSegmentEncoder:
    """An encoder to train, from a folder that save() wrote or from any causal language model.

    source  folder or name of the model
    embs    <EMB> tokens, of a model that has none yet
    rank    of the adapters, None to train all weights
    raises  ValueError if the encoder was saved with adapters of another rank; OSError if there is no readable model
    """
    saved, rank_then = beside(source)
    if rank_then not in (None, rank):
        raise ValueError(f"{source} has adapters of rank {rank_then} and goes on with these, not with rank {rank}")
    embs = len(saved["emb"]) if saved else embs
    encoder = ThreeSegmentEncoder(plain(source, bf16), embs=embs, rank=rank, bf16=bf16, checkpointing=checkpointing)
    put(encoder, saved)
    return encoder.train()


def load_frozen(source: str, *, bf16: bool = False, instead: int | None = None) -> ThreeSegmentEncoder:
    """An encoder to embed with, from a folder that save() wrote: nothing is trained, all is kept as it is computed.

    instead  token that stands for <EMB> where none was trained
    raises   ValueError if nobody trained <EMB> tokens for this model and no token stands for them; OSError if there is
             no readable model
    """
    saved, rank = beside(source)
    if not saved and instead is None:
        raise ValueError(f"{source} has no {BESIDE}: it was never trained to embed, and has no end of text instead")
    model = plain(source, bf16)
    if not saved:
        saved = {"emb": embeddings(model)(torch.tensor([instead])).detach()}
    encoder = ThreeSegmentEncoder(model, embs=len(saved["emb"]), rank=rank, bf16=bf16)
    put(encoder, saved)
    for parameter in encoder.requires_grad_(False).parameters():
        if bf16:  # not .to(): the frequencies of rotary positions, a buffer, must stay in float32
            parameter.data = parameter.data.bfloat16()
    return encoder.eval()


def plain(source: str, bf16: bool) -> PreTrainedModel:
    """raises OSError or ValueError if there is no readable model, or one that lacks weights"""
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers gives it no types
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    dtype = "auto" if bf16 else torch.float32
    told: Any = kind.from_pretrained(
        source, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    return complete(*told)


def beside(source: str) -> tuple[dict[str, Tensor], int | None]:
    """What stands beside the model in a folder, and the adapters' rank; nothing where save() did not write."""
    path = Path(source) / BESIDE
    if not path.exists():
        return {}, None
    with safe_open(path, framework="pt") as file:
        rank = (file.metadata() or {}).get("rank")
        return {name: file.get_tensor(name) for name in file.keys()}, int(rank) if rank else None  # noqa: SIM118


def put(encoder: ThreeSegmentEncoder, saved: dict[str, Tensor]) -> None:
    for name, tensor in saved.items():
        target = encoder.emb if name == "emb" else encoder.model.get_parameter(name)
        target.data.copy_(tensor)
