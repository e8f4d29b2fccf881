"""Perplexity of texts of any length: disjoint windows, every token predicted exactly once.

The first window begins after the beginning-of-text (or end-of-text) token; every later one sees the last token of the
window before, as lm-eval's rolling log-likelihood does with a context of one. Knows nothing of conversations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.engines.tokens.templates import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase


def windows(ids: Sequence[int], opening: int | None, length: int) -> list[Encoded]:
    """Return the windows of a text, of at most `length` tokens each, context included.

    Parameters
    ----------
    ids : sequence of int
        The text's tokens.
    opening : int or None
        Token before the first; without one, the text's own first token is context and is not predicted.
    length : int
        Longest window in tokens, >= 2.
    """
    whole = np.asarray(ids if opening is None else [opening, *ids], dtype=np.int64)
    found = []
    for start in range(0, len(whole) - 1, length - 1):
        part = whole[start : start + length]
        supervised = np.ones(len(part), dtype=np.bool_)
        supervised[0] = False
        found.append(Encoded(part, supervised))
    return found


def opening_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the token that stands before a text: beginning of text, else end of text, else none."""
    found: int | None = tokenizer.bos_token_id
    return tokenizer.eos_token_id if found is None else found
