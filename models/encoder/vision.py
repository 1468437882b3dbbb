"""Images in the input segment, for vision-language models like Qwen-VL: a frozen tower, a trained projector.

The input tokens of a row contain one image token for every patch that the projector returns, as the model's own
processor writes them. At these tokens the model reads the projector's vectors, with positions in time, height and
width.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from models.encoder.segments import Batch

TOWER = "visual."
PROJECTOR = "merger"  # in the names of the projector's weights, which are part of the tower


def freeze_tower(model: PreTrainedModel) -> None:
    """Train the projector and freeze the tower, whatever was set before; a text model does not change."""
    for name, parameter in model.base_model.named_parameters():
        if name.startswith(TOWER):
            parameter.requires_grad_(PROJECTOR in name)


def projector_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors of the projector; empty for a text model."""
    return {name: t for name, t in model.state_dict().items() if f".{TOWER}" in name and PROJECTOR in name}


def image_tokens(config: PreTrainedConfig, grid: Tensor) -> list[int]:
    """One image as the model's own processor writes it: vision start, a token for each merged patch, vision end.

    grid  [1, 3] int64 its patches in time, height and width
    """
    count = int(grid.prod()) // config.vision_config.spatial_merge_size**2
    return [config.vision_start_token_id, *[config.image_token_id] * count, config.vision_end_token_id]


def image_arguments(model: PreTrainedModel, batch: Batch) -> dict[str, Any]:
    """The model's arguments besides the embeddings of the tokens; empty for a batch without images.

    raises  ValueError if the batch does not contain as many image tokens as its images need
    """
    if batch.pixels is None or batch.grid is None:
        return {}
    needed = int(batch.grid.prod(1).sum()) // model.config.vision_config.spatial_merge_size**2
    present = int((batch.tokens == model.config.image_token_id).sum())
    if needed != present:
        raise ValueError(f"the images need {needed} image tokens, the batch has {present}: were inputs cut too short?")
    base: Any = model.base_model
    images = base.get_image_features(batch.pixels, batch.grid, return_dict=True)
    return {"position_ids": rope_positions(model, batch), "mm_encoder_outputs": {"image": images}}


def rope_positions(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Positions in time, height and width [3, 1, tokens]; each row starts from 0."""
    rows, width = len(batch.emb), int(batch.position.max()) + 1
    tokens = batch.tokens.new_zeros(rows, width)
    tokens[batch.row, batch.position] = batch.tokens
    mask = torch.zeros_like(tokens)
    mask[batch.row, batch.position] = 1
    kinds = (tokens == model.config.image_token_id).int()
    base: Any = model.base_model
    index: Tensor = base.get_rope_index(tokens, kinds, image_grid_thw=batch.grid, attention_mask=mask)[0]
    return index[:, batch.row, batch.position].unsqueeze(1)
