"""Chooses how conversations are laid out for a tokenizer: its own chat template, or the plain layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from curate.engines.tokens.chat_rendering import ChatRenderer
from curate.engines.tokens.rendering import PlainRenderer, Renderer
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TemplateKind = Literal["auto", "chat", "plain"]
KINDS: tuple[TemplateKind, ...] = ("auto", "chat", "plain")


def choose_renderer(tokenizer: PreTrainedTokenizerBase, kind: TemplateKind) -> Renderer:
    """Return the renderer of a template kind for `tokenizer`."""
    template = tokenizer.chat_template
    folder = f"model folder {tokenizer.name_or_path!r}" if tokenizer.name_or_path else "the tokenizer"
    if isinstance(template, dict) and kind != "plain":
        template = _default(template, folder)
    if kind == "chat" and not template:
        raise InputError("the tokenizer has no chat template; give --template plain or auto")
    if kind == "plain" or not template:
        return PlainRenderer(tokenizer.eos_token or "")
    if not isinstance(template, str):
        raise InputError(f"the chat template of {folder} is no text but {template!r}; give --template plain")
    special = {name: str(text) for name, text in tokenizer.special_tokens_map.items()}
    control = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return ChatRenderer(template, special, folder, control)


def _default(templates: dict[str, Any], folder: str) -> Any:
    """Return the template named ``default`` of several."""
    if templates and "default" not in templates:
        raise InputError(
            f"{folder} has the chat templates {', '.join(map(repr, sorted(templates)))}, and none of "
            "them is named 'default'; rename one to 'default' in its files, or give --template plain"
        )
    return templates.get("default")
