"""Version of the rules by which a chat template is read, for the ids of artefacts that depend on it."""

from __future__ import annotations

from typing import Any

RENDERING_VERSION = 2
"""Raised by hand when a chat template gives other tokens, or other supervised tokens, than before."""


def rendering_setting(kind: str, *models: str | None) -> dict[str, Any]:
    """Return the version as a setting of a recipe; empty if no chat template is used.

    It is left out then so that artefacts of models without a chat template keep the ids they have had since version
    0.1.0, when the rules had no version.

    Parameters
    ----------
    kind : {"auto", "chat", "plain"}
    *models : str or None
        Folders or hub names whose tokenizers may be used.
    """
    from curate.engines.models.checkpoints import model_files
    from curate.engines.models.tokenizer_files import has_chat_template

    used = kind != "plain" and any(has_chat_template(model_files(model)) for model in models if model is not None)
    return {"rendering": RENDERING_VERSION} if used else {}
