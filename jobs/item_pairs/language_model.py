"""Which language model the settings name: the model itself and its version."""

import os
from pathlib import Path

from jobs.encoders.location import pinned, readable_name
from jobs.item_pairs.settings import Llm
from jobs.lake import UserError
from models.llm.interface import LanguageModel, UnusableModelError


def open_llm(settings: Llm, setting: str) -> LanguageModel:
    """raises  UserError, which names the setting that the model comes from, if a local model is not there"""
    if settings.endpoint:
        from models.llm.endpoint import Endpoint

        return Endpoint(
            url=settings.endpoint,
            model=settings.model,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",  # servers of one's own ask for none
            concurrency=settings.concurrency,
            timeout=settings.timeout_seconds,
        )
    if settings.model.startswith(("/", ".")) and not Path(settings.model).is_dir():
        raise UserError(f"{setting}.model: there is no folder {settings.model}")
    from models.llm import local  # heavy: only when there is something to ask

    try:
        return local.load(settings.model, tokens_per_batch=settings.tokens_per_batch)
    except UnusableModelError as error:
        raise UserError(
            f"{setting}.model: {error}; give a folder with config.json, tokenizer and *.safetensors, or an endpoint"
        ) from None


def llm_version(settings: Llm) -> str:
    """The model's name, of a local folder also its weights, and how much it may write.

    A Hugging Face name or an endpoint's stands for whatever it holds: give a folder to pin it.
    """
    folder = Path(settings.model)
    local = not settings.endpoint and folder.is_dir()
    name = pinned(folder) if local else readable_name(settings.model)
    return f"{name}-t{settings.max_new_tokens}"
