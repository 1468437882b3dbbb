"""The folder of the language model that the settings name, and what tells the folder of a stored one."""

from pathlib import Path

from jobs.lake import UserError

ADVICE = "give a folder with config.json, tokenizer and *.safetensors"
ORIGIN = "origin.json"  # in the folder of a stored language model only: what it was trained from, and on which tasks


def check_folder(folder: Path, name: str) -> None:
    """Check that the folder exists and contains a model. raises UserError if not. name: of the setting"""
    for pattern in ("config.json", "*.safetensors"):
        if not list(folder.glob(pattern)):
            raise UserError(f"{name}: {folder} holds no {pattern}; {ADVICE}")
