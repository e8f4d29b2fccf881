"""Splits texts into disjoint windows for perplexity, so that every token is predicted exactly once.

The first window begins after the beginning-of-text (or end-of-text) token. Every later one sees the last token of the
previous window, as lm-eval's rolling log-likelihood does with a context of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.engines.tokens.templates import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase


def windows(ids: Sequence[int], opening: int | None, length: int) -> list[Encoded]:
    """Return the windows of a text, each of at most `length` tokens, context included.

    Parameters
    ----------
    ids : sequence of int
        The text's tokens.
    opening : int or None
        Token before the first; if None, the text's own first token is context and is not predicted.
    length : int
        Longest window in tokens, >= 2.
    """
    tokens = np.asarray(ids if opening is None else [opening, *ids], dtype=np.int64)
    result = []
    # Windows overlap by one token: the last of a window is the context of the next.
    for start in range(0, len(tokens) - 1, length - 1):
        part = tokens[start : start + length]
        supervised = np.ones(len(part), dtype=np.bool_)
        supervised[0] = False
        result.append(Encoded(part, supervised))
    return result


def opening_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the token to put before a text: beginning of text, else end of text, else None."""
    opening: int | None = tokenizer.bos_token_id
    return tokenizer.eos_token_id if opening is None else opening
