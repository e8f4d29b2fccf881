"""Files of a tokenizer in a model folder, its chat templates among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engines.models.json_files import read_object

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
NAMED_TEMPLATES = "additional_chat_templates"
"""Folder in which transformers saves every chat template but the default one."""


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the tokenizer's files in a model folder that are there."""
    own = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return own + sorted((folder / NAMED_TEMPLATES).glob("*.jinja"))


def has_tokenizer(folder: Path) -> bool:
    """Return whether `folder` has a tokenizer of its own; pruned models are often saved without."""
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"))


def has_chat_template(files: Iterable[Path]) -> bool:
    """Return whether a tokenizer brings a chat template.

    Parameters
    ----------
    files : iterable of Path
        The files of a model, as `curate.engines.models.checkpoints.model_files` lists them.
    """
    return any(
        file.name.startswith("chat_template.")
        or file.parent.name == NAMED_TEMPLATES
        or (file.name == "tokenizer_config.json" and bool(read_object(file).get("chat_template")))
        for file in files
    )
