"""A vision-language model of a few thousand random weights, its image processor, and pictures for it."""

from pathlib import Path

import torch
from PIL import Image
from transformers import (
    PreTrainedTokenizerBase,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

IMAGE = 90  # the image token
START, END = IMAGE + 2, IMAGE + 3  # the tokens before and after the tokens of an image


def tiny_vision() -> Qwen3VLForConditionalGeneration:
    torch.manual_seed(0)
    text = {
        "vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "patch_size": 4, "out_hidden_size": 32,
        "num_position_embeddings": 64, "deepstack_visual_indexes": [0], "initializer_range": 0.3,
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=IMAGE + 1,
        vision_start_token_id=START, vision_end_token_id=END,
    )  # fmt: skip
    return Qwen3VLForConditionalGeneration(config)


def save_vlm(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Save a model that is not tuned, as Hugging Face has it; an image becomes at most four tokens."""
    tiny_vision().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": 8 * 8, "longest_edge": 16 * 16}
    Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2, size=size).save_pretrained(folder)
    return folder


def picture(path: Path, *colours: str) -> None:
    """Save a picture: a row of squares, each of which becomes an image token."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (8 * len(colours), 8))
    for place, colour in enumerate(colours):
        image.paste(colour, (8 * place, 0, 8 * place + 8, 8))
    image.save(path)
