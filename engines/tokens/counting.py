"""Counts the tokens of conversations as scoring and training will see them, without loading a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engines.tokens.shared_template import shared_template
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
    other = models[0] if len(models) > 1 else None
    template = shared_template(models[-1], other, layout, max_length, trust_remote_code=trust_remote_code)
    turns = [turns_of(messages) for messages in rows["messages"].to_pylist()]
    return [len(item.ids) for item in template.encode_many(turns, rows["tools"].to_pylist())]
