"""Loads a model's tokenizer, and checks that those of a pair agree id by id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from curate.engines.models.checkpoints import tokenizer_folder
from curate.engines.models.configuration import repaired_config
from curate.engines.models.json_files import check_objects
from curate.engines.models.library_errors import as_input_error
from curate.engines.models.tokenizer_files import TOKENIZER_FILES
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

NAMED_DIFFERENCES = 3


def load_tokenizer(
    compressed: Path, original: Path | None = None, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Return the pair's tokenizer, the compressed model's if it has one, after comparing the two.

    Raises
    ------
    InputError
        If neither folder has a tokenizer, it cannot be read, or the two give different ids to the same tokens.
    """
    tokenizers = [
        _tokenizer(folder, trust_remote_code)
        for folder in dict.fromkeys(tokenizer_folder(f) for f in (compressed, original) if f is not None)
        if folder is not None
    ]
    if not tokenizers:
        raise InputError(f"model folder {str(compressed)!r} has no tokenizer; copy tokenizer.json there")
    if len(tokenizers) == 2:
        compare_tokenizers(tokenizers[1], tokenizers[0])
    return tokenizers[0]


def _tokenizer(folder: Path, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    check_objects([folder / name for name in TOKENIZER_FILES])
    config = repaired_config(folder, trust_remote_code=trust_remote_code)
    repaired = {} if config is None else {"config": config}
    with as_input_error(f"tokenizer in {str(folder)!r}", "copy its tokenizer files again from the source of the model"):
        return AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code, **repaired
        )


def compare_tokenizers(original: PreTrainedTokenizerBase, compressed: PreTrainedTokenizerBase) -> None:
    """Check that both tokenizers map every id to the same token.

    Raises
    ------
    InputError
        Naming the first ids that differ and how many there are.
    """
    # Compared by id, because scoring and training see ids only; added tokens are part of get_vocab.
    first = {index: token for token, index in original.get_vocab().items()}
    second = {index: token for token, index in compressed.get_vocab().items()}
    differing = sorted(index for index in first.keys() | second.keys() if first.get(index) != second.get(index))
    if differing:
        named = ", ".join(
            f"id {i} is {first.get(i)!r} against {second.get(i)!r}" for i in differing[:NAMED_DIFFERENCES]
        )
        raise InputError(
            f"the tokenizers of the original and the compressed model differ in {len(differing)} ids: {named}; "
            "give two models with the same tokenizer"
        )


def vocabulary_mismatch(compressed: str, own: int | None, original: str, other: int | None) -> str:
    """Return the message about two output heads of different size."""
    return (
        f"the compressed model {compressed!r} has an output head of {own} ids and the original {original!r} one of "
        f"{other}; give a model compressed from this original with its vocabulary kept"
    )
