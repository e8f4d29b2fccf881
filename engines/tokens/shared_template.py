"""The template that two models share: the tokenizer of one, and the shorter of their contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.loading import context_of
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template

if TYPE_CHECKING:
    from curate.engines.tokens.templates import TemplateKind


def shared_template(
    model: str, other: str | None, layout: TemplateKind, max_length: int, *, trust_remote_code: bool = False
) -> Template:
    """Return the layout of conversations for a model and another one, from their folders; no weights are read.

    Parameters
    ----------
    model : str
        Folder or hub name; its tokenizer is used, or that of `other` if it has none.
    other : str, optional
    layout : {"auto", "chat", "plain"}
    max_length : int
        Longest conversation in tokens, capped by both contexts.

    Raises
    ------
    InputError
        If a model has no usable configuration or tokenizer, or their token ids differ.
    """
    folders = [resolve_model(name) for name in (model, other) if name is not None]
    tokenizer = load_tokenizer(*folders, trust_remote_code=trust_remote_code)
    contexts = [context_of(folder, trust_remote_code=trust_remote_code) for folder in folders]
    return Template(tokenizer, layout, min([max_length, *(context for context in contexts if context is not None)]))
