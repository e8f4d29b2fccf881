"""Loads a model for evaluation, or as a judge, with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.loading import LanguageModel, load_model
from curate.engines.models.tokenizers import compare_tokenizers, load_tokenizer, vocabulary_mismatch
from curate.schemas.errors import InputError

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


def check_pair(subject: Subject, original: Subject, names: tuple[str, str], length: int) -> None:
    """Check that the predictions of a model and its original for the same tokens can be compared.

    Parameters
    ----------
    names : (str, str)
        What the model and the original are called in errors.
    length : int
        Longest sequence in tokens.

    Raises
    ------
    InputError
        If their vocabularies or token ids differ, or the original's context is shorter than what is read.
    """
    sizes = subject.head.vocabulary, original.head.vocabulary
    if sizes[0] != sizes[1]:
        raise InputError(vocabulary_mismatch(names[0], sizes[0], names[1], sizes[1]))
    compare_tokenizers(original.tokenizer, subject.tokenizer)
    if original.context is not None and original.context < length:
        raise InputError(
            f"the original {names[1]!r} reads at most {original.context} tokens and the divergence is measured on "
            f"up to {length}; pass --max-length {original.context}"
        )
