"""A tiny causal language model that follows a script, made by setting its weights.

Each token is a direction. The output layer leads from each token of the script to the next one. One attention head,
uniform over all earlier tokens, carries a cue from anywhere in the prompt to the place where the script has two ways to
continue.
"""

from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

Script = list[str | tuple[str, str]]  # a tuple: what is written without the cue, and with it
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CUE = "gasket"
JUDGES: Script = ["Their uses were compared. ", "<answer>", ("Yes", "No"), "</answer>"]


def tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, these words as a whole, and the special tokens of ChatML."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    spelled.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spelled.decoder = decoders.ByteLevel()
    spelled.add_special_tokens(list(SPECIAL))
    spelled.add_tokens([AddedToken(word, normalized=False) for word in words])
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers gives it no types
        tokenizer_object=spelled, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = CHATML
    return fast


def random_lm(vocabulary: int, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, initializer_range=0.3,
    )  # fmt: skip
    model: LlamaForCausalLM = LlamaForCausalLM(config)
    return model


@torch.no_grad()
def scripted_lm(folder: Path, script: Script) -> Path:
    """Save a model that answers every prompt by the script, and its tokenizer. returns the folder"""
    steps = [step if isinstance(step, tuple) else (step,) for step in script]
    words = tokenizer([word for step in steps for word in step] + [CUE])
    ids = [[words.convert_tokens_to_ids(word) for word in step] for step in [("\u010a",), *steps, ("<|im_end|>",)]]
    cue, size = words.convert_tokens_to_ids(CUE), len(words)
    carried, width = size, size + 2 - size % 2  # the direction of the cue after the attention
    config = LlamaConfig(
        vocab_size=size, hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=8192, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for name, weights in model.named_parameters():
        weights.fill_(1.0 if "norm" in name else 0.0)
    model.model.embed_tokens.weight[:, :size] = torch.eye(size)
    attention = model.model.layers[0].self_attn
    attention.v_proj.weight[carried, cue] = 2000.0  # shared among some hundred tokens
    attention.o_proj.weight[carried, carried] = 1.0
    for before, after in pairwise(ids):
        for token in before:
            for place, next_token in enumerate(after):
                model.lm_head.weight[next_token, token] = 1000.0 - 20.0 * place
        for next_token in after[1:]:
            model.lm_head.weight[next_token, carried] = 1.0
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
