"""The language model that the settings name, and its version."""

import os
from pathlib import Path

from jobs.encoders.location import folder_version, plain_name
from jobs.item_pairs.settings import Llm
from jobs.lake import UserError
from models.llm.interface import LanguageModel, UnusableModelError


def open_llm(settings: Llm, setting: str) -> LanguageModel:
    """Connect to the endpoint, or load the model into this process.

    setting  the section of the settings, such as judge.llm.swing; error messages name it
    raises   UserError if a local model cannot be loaded
    """
    if settings.endpoint:
        from models.llm.endpoint import Endpoint

        return Endpoint(
            url=settings.endpoint,
            model=settings.model,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",  # a server of your own needs no key
            concurrency=settings.concurrency,
            timeout=settings.timeout_seconds,
        )
    if settings.model.startswith(("/", ".")) and not Path(settings.model).is_dir():
        raise UserError(f"{setting}.model: there is no folder {settings.model}")
    from models.llm import local  # slow to import: only if there is something to ask

    try:
        return local.load(settings.model, tokens_per_batch=settings.tokens_per_batch)
    except UnusableModelError as error:
        raise UserError(
            f"{setting}.model: {error}; give a folder with config.json, tokenizer and *.safetensors, or an endpoint"
        ) from None


def llm_version(settings: Llm) -> str:
    """The model's name, a digest of its weights if it is a local folder, and how many tokens it may write.

    The weights behind a Hugging Face name or an endpoint may change under the same version. Give a folder to pin them.
    """
    folder = Path(settings.model)
    is_local = not settings.endpoint and folder.is_dir()
    name = folder_version(folder) if is_local else plain_name(settings.model)
    return f"{name}-t{settings.max_new_tokens}"
