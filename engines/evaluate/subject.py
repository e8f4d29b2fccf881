"""Loads a model for evaluation, or as a judge, with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.loading import LanguageModel, load_model
from curate.engines.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from curate.engines.models.output_head import OutputHead


@dataclass(frozen=True, eq=False)
class Subject:
    """A model under evaluation, or the judge of another, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: OutputHead
    context: int | None
    """Longest sequence in tokens, None if the configuration does not state it."""


def load_subject(folder: str, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False) -> Subject:
    """Return the model of a folder or hub name, loaded for evaluation.

    Raises
    ------
    InputError
        If it cannot be loaded.
    UsageError
        For an unknown device or dtype.
    """
    target, source = resolve_device(device), resolve_model(folder)
    model = load_model(source, target, resolve_dtype(dtype, target), trust_remote_code=trust_remote_code)
    loaded = LanguageModel(model, folder)
    return Subject(model, load_tokenizer(source, trust_remote_code=trust_remote_code), loaded.head, loaded.context)
