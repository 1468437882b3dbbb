"""The folder of the language model that the settings name, and what tells the folder of a stored one."""

from pathlib import Path

from jobs.generation.settings import LanguageModel
from jobs.lake import UserError

ADVICE = "give a folder with config.json, tokenizer and *.safetensors"
ORIGIN = "origin.json"  # in the folder of a stored language model only: what it was trained from, and on which tasks


def check_folder(settings: LanguageModel) -> None:
    """Check that the folder exists and contains a model. raises UserError if not"""
    folder = Path(settings.model)
    for pattern in ("config.json", "*.safetensors"):
        if not list(folder.glob(pattern)):
            raise UserError(f"generator.language_model.model: {folder} holds no {pattern}; {ADVICE}")
