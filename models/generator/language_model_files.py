"""The files of a language model with codes: an ordinary Hugging Face model, and the weights that were added to it.

config.json, model*.safetensors, tokenizer files   the language model without its adapters
codes.safetensors                                  a table for each level, named by its letter, whose row r is the token
                                                   of code r (a: <a_0>, <a_1>, ...), and adapters (metadata: their rank)
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from models.encoder.lora import MARK, adapter_weights, weights_without_adapters
from models.encoder.three_segment import embeddings
from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_tokens import LEVELS
from models.precision import device
from models.pretrained import check_tokenizer, check_weights

ADDED_WEIGHTS = "codes.safetensors"
TEXTS_AT_ONCE = 1024
FEWEST_TOKENS = 256  # that a model must read: the prompt of a user with 20 items has about 110, a query up to 200


def save(model: CodeLanguageModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write everything that load() needs into a folder."""
    model.model.save_pretrained(folder, state_dict=weights_without_adapters(model.model))
    tokenizer.save_pretrained(folder)
    tensors = adapter_weights(model.model) | _tables("input", model.input_rows, model.sizes)
    tensors |= {} if model.is_tied else _tables("output", model.output_rows, model.sizes)
    rank = {} if model.rank is None else {"rank": str(model.rank)}
    save_file(
        {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, folder / ADDED_WEIGHTS, metadata=rank
    )


def load_tunable(
    source: str, codes: Tensor, texts: Sequence[str], *, rank: int | None, bf16: bool, seed: int
) -> tuple[CodeLanguageModel, PreTrainedTokenizerBase]:
    """Load a model to train, from a folder that save() wrote or from any causal language model.

    The tokens of codes that the model has are carried over by name: <a_12> stays <a_12>. A new token starts at the
    words of the items that have its code.

    source  folder or name of the model
    codes   [items, levels] int64; -1 in the rows of items without codes
    texts   [items] one line each
    rank    of LoRA adapters; None trains all weights
    bf16    computes in bfloat16; trained weights stay float32
    seed    of new adapters
    raises  ValueError if there is no readable model, if it reads too few tokens, or if it was saved with adapters of
            another rank
    """
    with _explain(source):
        network, tokenizer, added, saved_rank = _read(source)
        _check_causal(network)
        if saved_rank not in (None, rank):
            raise ValueError(f"it has adapters of rank {saved_rank}, which cannot be trained further with rank {rank}")
        saved_sizes = _saved_sizes(added)
        needed = codes.amax(0).clamp(min=0).add(1).tolist()
        sizes = [max(size, saved_sizes.get(LEVELS[level], 0)) for level, size in enumerate(needed)]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = CodeLanguageModel(network, sizes, rank=rank, bf16=bf16)
        if model.max_tokens < FEWEST_TOKENS:
            raise ValueError(f"it reads {model.max_tokens} tokens at most, prompts need {FEWEST_TOKENS}")
        if sizes != list(saved_sizes.values()):
            _start_rows(model, tokenizer, codes, texts)
        _copy_weights(model, added)
        return model.to(device()).train(), tokenizer


def load_saved(source: str, *, bf16: bool) -> tuple[CodeLanguageModel, PreTrainedTokenizerBase]:
    """Load a model that save() wrote, with its codes and adapters, to train it further.

    raises  ValueError if there is no readable model, or if it was never trained on codes
    """
    with _explain(source):
        network, tokenizer, added, rank = _read(source)
        if not added:
            raise ValueError(f"it was never trained on codes, it has no {ADDED_WEIGHTS}")
        model = CodeLanguageModel(network, list(_saved_sizes(added).values()), rank=rank, bf16=bf16)
        _copy_weights(model, added)
        return model.to(device()).train(), tokenizer


@contextmanager
def _explain(source: str) -> Iterator[None]:
    """Make a ValueError that names the source of whatever goes wrong: a damaged folder can raise nearly anything."""
    try:
        yield
    except Exception as error:
        reason = (str(error) or repr(error)).splitlines()[0][:200]
        raise ValueError(f"{source} cannot be loaded as a language model: {reason}") from None


def _read(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, dict[str, Tensor], int | None]:
    """The model, its tokenizer, the added weights and the rank of the adapters."""
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    check_tokenizer(tokenizer)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    network = check_weights(*loaded)
    if not (path := Path(source) / ADDED_WEIGHTS).exists():
        return network, tokenizer, {}, None
    with safe_open(path, framework="pt") as file:
        rank = (file.metadata() or {}).get("rank")
        added = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return network, tokenizer, added, int(rank) if rank else None


@torch.no_grad()
def _check_causal(network: PreTrainedModel) -> None:
    """Check that no token sees a later one: transformers also loads models that read in both directions.

    raises  ValueError if one does
    """
    network.train(False)
    tokens = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]]) % embeddings(network).num_embeddings
    first, second = network(tokens).logits[:, :3].float()
    if (first - second).abs().max() > 1e-5 * first.abs().max():
        raise ValueError("it reads texts in both directions, so it cannot write them: choose a causal language model")


def _tables(kind: str, rows: Tensor, sizes: Sequence[int]) -> dict[str, Tensor]:
    """The rows of each level, by the names that they have in the file."""
    return {f"{kind}.{LEVELS[level]}": part for level, part in enumerate(torch.split(rows, list(sizes)))}


def _saved_sizes(added: dict[str, Tensor]) -> dict[str, int]:
    return {name.removeprefix("input."): len(added[name]) for name in sorted(added) if name.startswith("input.")}


@torch.no_grad()
def _copy_weights(model: CodeLanguageModel, added: dict[str, Tensor]) -> None:
    """Copy adapters, and the saved tokens of codes into the first rows of their levels. A level may be gone."""
    tables = _tables("input", model.input_rows, model.sizes) | _tables("output", model.output_rows, model.sizes)
    for name, tensor in added.items():
        if MARK in name:
            model.model.get_parameter(name).copy_(tensor)
        elif name in tables:
            tables[name][: len(tensor)].copy_(tensor)


@torch.no_grad()
def _start_rows(
    model: CodeLanguageModel, tokenizer: PreTrainedTokenizerBase, codes: Tensor, texts: Sequence[str]
) -> None:
    """Start each code at the mean word of its items, pushed away from the mean of all items.

    A code then starts near what the language model knows about its items. Means of many words are nearly alike, and
    tokens that are alike cannot be told apart: so their difference from the overall mean gets the length that it has
    for a word. A code without items starts at the overall mean.
    """
    has_codes = (codes >= 0).all(1)
    coded, rows = codes[has_codes], has_codes.nonzero()[:, 0].tolist()
    head: Any = model.model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers: no types
    tables = [(model.input_rows, embeddings(model.model).weight)]
    tables += [] if model.is_tied else [(model.output_rows, head.weight)]
    for target, words in tables:
        parts = [rows[start : start + TEXTS_AT_ONCE] for start in range(0, len(rows), TEXTS_AT_ONCE)]
        mean_words = [_mean_words(words.float(), tokenizer, [texts[row] for row in part]) for part in parts]
        items = torch.cat([words.new_zeros(0, words.shape[1], dtype=torch.float32), *mean_words])
        overall = items.mean(0) if len(items) else words.float().mean(0)
        length = (words.float() - words.float().mean(0)).norm(dim=1).mean()
        for level, part_rows in enumerate(torch.split(target, list(model.sizes))):
            sums = torch.zeros_like(part_rows).index_add_(0, coded[:, level], items - overall)
            counts = torch.bincount(coded[:, level], minlength=len(sums)).clamp(min=1)
            part_rows.copy_(overall + length * torch.nn.functional.normalize(sums / counts[:, None], dim=1))


def _mean_words(words: Tensor, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Tensor:
    """The mean embedding [texts, dim] of the tokens of each text."""
    tokenizer.split_special_tokens = True
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    offsets = torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)
    flat = torch.tensor([token for row in ids for token in row], dtype=torch.int64)
    return torch.nn.functional.embedding_bag(flat, words, offsets, mode="mean")
