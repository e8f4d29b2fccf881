"""Counts the tokens of conversations as scoring and training will see them, without loading a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.loading import context_of
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import turns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from curate.engines.tokens.templates import TemplateKind


def count_tokens(
    models: Sequence[str],
    rows: pa.Table,
    layout: TemplateKind,
    max_length: int,
    *,
    trust_remote_code: bool = False,
) -> list[int]:
    """Return the tokens of every row, with those of the chat template and after truncation.

    Parameters
    ----------
    models : sequence of str
        Folders or hub names, the original first if there are two; the last one's tokenizer, or the first's, is used.
    rows : Table
        Columns ``messages`` and ``tools``.
    layout : {"auto", "chat", "plain"}
    max_length : int
        Capped by the models' contexts.

    Raises
    ------
    InputError
        If a model has no usable configuration or tokenizer.
    """
    folders = [resolve_model(model) for model in models]
    tokenizer = load_tokenizer(folders[-1], folders[0], trust_remote_code=trust_remote_code)
    contexts = [context_of(folder, trust_remote_code=trust_remote_code) for folder in folders]
    length = min([max_length, *(context for context in contexts if context)])
    template = Template(tokenizer, layout, length)
    turns = [turns_of(messages) for messages in rows["messages"].to_pylist()]
    return [len(item.ids) for item in template.encode_many(turns, rows["tools"].to_pylist())]
