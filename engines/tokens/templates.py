"""Converts conversations to token ids and a supervision mask: all assistant turns, end-of-turn token included.

Scoring and recovery use the same template, length and mask rule; `Template.digest` identifies them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from curate.engines.tokens.renderers import KINDS, TemplateKind, choose_renderer
from curate.engines.tokens.rendering import Rendered, RenderingError, without_context
from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from curate.schemas.corpus import Turn

__all__ = ["KINDS", "Encoded", "Template", "TemplateKind"]

MASK_VERSION = 1
"""Raised by hand when the rule for the mask or for truncation changes."""

TOKENIZER_BATCH = 1024
"""Conversations per call of the tokenizer, which bounds the memory of their texts and offsets."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One conversation as token ids."""

    ids: NDArray[np.int64]
    """Shape (n_tokens,), after truncation; empty if `error` is set."""
    supervised: NDArray[np.bool_]
    """Shape (n_tokens,). The first token is never supervised, because nothing predicts it."""
    truncated: bool = False
    error: str | None = None
    """Why the conversation could not be rendered."""

    @property
    def n_response(self) -> int:
        """Number of supervised tokens."""
        return int(self.supervised.sum())


class Template:
    """Layout and maximum length of conversations for one tokenizer.

    Truncation drops tokens at the end. The plain layout starts with the beginning-of-text token if the tokenizer adds
    one itself; a chat template writes its own. Control tokens that occur literally in a row's text are encoded as
    control tokens, as in every training pipeline.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    kind : {"auto", "chat", "plain"}
        ``"auto"`` uses the tokenizer's chat template if it has one.
    max_length : int
        Longest sequence in tokens, ≥ 2.

    Raises
    ------
    UsageError
        For an unknown kind or a length below 2.
    InputError
        If ``"chat"`` is requested and there is none, if its assistant turns cannot be located, or if the tokenizer
        cannot map tokens to characters.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, kind: TemplateKind = "auto", max_length: int = 512) -> None:
        if kind not in KINDS:
            raise UsageError(f"template {kind!r} is not known{did_you_mean(kind, list(KINDS))}")
        if max_length < 2:
            raise UsageError(f"max_length {max_length} is too short for a prompt and an answer; give at least 2")
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(
                f"the tokenizer class {type(tokenizer).__name__} cannot map tokens to characters; "
                "save it with a tokenizer.json"
            )
        # A copy, so that neither a truncation stored in the file nor other users of the tokenizer change lengths.
        self._text = tokenizer.backend_tokenizer.to_str()
        self._backend = Tokenizer.from_str(self._text)
        self._backend.no_truncation()
        self._backend.no_padding()
        self.max_length = max_length
        self._renderer = choose_renderer(tokenizer, kind)
        self._opening = _opening(tokenizer) if self._renderer.name == "plain" else []
        self.bos: int | None = tokenizer.bos_token_id

    @property
    def name(self) -> str:
        """The chosen layout, ``"chat"`` or ``"plain"``."""
        return self._renderer.name

    def digest(self) -> str:
        """Return the digest of everything that determines ids and mask: layout, mask rule, length, tokenizer."""
        source = [self._renderer.source(), self._opening, MASK_VERSION, self.max_length, digest(self._text)]
        return digest(source)

    def encode(self, turns: Sequence[Turn], tools: str | None = None) -> Encoded:
        """Return one conversation encoded; see `encode_many`."""
        return self.encode_many([turns], [tools])[0]

    def encode_many(
        self, conversations: Sequence[Sequence[Turn]], tools: Sequence[str | None] | None = None
    ) -> list[Encoded]:
        """Return every conversation encoded, in order.

        Parameters
        ----------
        conversations : sequence of sequences of Turn
        tools : sequence of str or None, optional
            JSON text of the tools available to each conversation.

        Returns
        -------
        list of Encoded; one that the template cannot render has an `error` instead of tokens.
        """
        listed = tools if tools is not None else [None] * len(conversations)
        encoded: list[Encoded] = []
        for start in range(0, len(conversations), TOKENIZER_BATCH):
            stop = start + TOKENIZER_BATCH
            rendered = [self._render(*pair) for pair in zip(conversations[start:stop], listed[start:stop], strict=True)]
            texts = [item.text for item in rendered if isinstance(item, Rendered)]
            tokens = iter(self._backend.encode_batch(texts, add_special_tokens=False))
            for item in rendered:
                if isinstance(item, Rendered):
                    encoding = next(tokens)
                    encoded.append(self._truncate(encoding.ids, _mask(item, encoding.offsets)))
                else:
                    encoded.append(Encoded(np.empty(0, np.int64), np.empty(0, np.bool_), error=item))
        return encoded

    def _render(self, turns: Sequence[Turn], tools: str | None) -> Rendered | str:
        try:
            return without_context(self._renderer.render(turns, tools), turns)
        except RenderingError as error:
            return str(error)

    def _truncate(self, ids: list[int], supervised: NDArray[np.bool_]) -> Encoded:
        # A text that already starts with the opening token must not get a second one.
        opening = self._opening if ids[: len(self._opening)] != self._opening else []
        tokens = np.asarray(opening + ids, dtype=np.int64)
        mask = np.concatenate([np.zeros(len(opening), np.bool_), supervised])
        # Nothing predicts the first token, even if a span starts with it.
        mask[:1] = False
        return Encoded(tokens[: self.max_length], mask[: self.max_length], len(tokens) > self.max_length)


def _opening(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the beginning-of-text id as a list, empty if the tokenizer does not add one itself."""
    ids = tokenizer("a")["input_ids"]
    return [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id else []


def _mask(rendered: Rendered, offsets: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return the mask of supervised tokens: those that start inside a span.

    A token that starts before the span is included too if it only covers white space there, because many tokenizers
    merge the space before a word into the word's token.

    Parameters
    ----------
    rendered : Rendered
    offsets : list of (int, int)
        Characters that each token covers, in order.
    """
    mask = np.zeros(len(offsets), np.bool_)
    for start, stop in rendered.spans:
        # Offsets ascend, so the span's tokens are a range that bisection finds.
        first = bisect_left(offsets, start, key=itemgetter(0))
        if first > 0 and offsets[first - 1][1] > start and rendered.text[offsets[first - 1][0] : start].isspace():
            first -= 1
        mask[first : bisect_left(offsets, stop, key=itemgetter(0))] = True
    return mask
