"""Splits texts into disjoint windows of tokens, so that every token is predicted exactly once.

The first window begins after the beginning-of-text (or end-of-text) token. Every later one sees the last token of the
previous window, as lm-eval's rolling log-likelihood does with a context of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engines.tokens.templates import Encoded
from curate.schemas.artefacts import digest
from curate.schemas.corpus import ID_DIGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    Item = dict[str, Any]

WINDOW = "window"
"""Key of an item that is a window of a text: its tokens, `Encoded`."""


def in_windows(
    items: Sequence[Item], tokenizer: PreTrainedTokenizerBase, length: int, most: int | None = None
) -> list[Item]:
    """Return the items of plain texts as one item per window, each with its tokens under `WINDOW`; others as they are.

    Parameters
    ----------
    items : sequence of dict
        Rows of `ITEMS`.
    length : int
        Longest window in tokens, >= 2.
    most : int, optional
        Windows of a text, from its beginning.
    """
    opening, result = opening_token(tokenizer), []
    for item in items:
        if not is_text(item):
            result.append(item)
            continue
        # Not verbose: a text longer than the model's context is what windows are for.
        ids = tokenizer(item["references"][0], add_special_tokens=False, verbose=False)["input_ids"]
        parts = windows(ids, opening, length)[:most] or [Encoded(np.empty(0, np.int64), np.empty(0, np.bool_))]
        result += [
            {**item, "item_id": digest([item["item_id"], number], ID_DIGITS), WINDOW: part}
            for number, part in enumerate(parts)
        ]
    return result


def is_text(item: Item) -> bool:
    """Return whether an item is a plain text, read in windows."""
    return item["kind"] in ("perplexity", "divergence") and not item["messages"]


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
