"""A model under evaluation, or one that judges, with its tokenizer. Knows nothing of items."""

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
    """A model that is asked, or that judges, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: OutputHead
    context: int | None


def load_subject(folder: str, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False) -> Subject:
    """Return the model of a folder or hub name, ready to be asked.

    Raises
    ------
    InputError
        When it cannot be loaded.
    UsageError
        For an unknown device or dtype.
    """
    place, source = resolve_device(device), resolve_model(folder)
    model = load_model(source, place, resolve_dtype(dtype, place), trust_remote_code=trust_remote_code)
    loaded = LanguageModel(model, folder)
    return Subject(model, load_tokenizer(source, trust_remote_code=trust_remote_code), loaded.head, loaded.context)
