"""Lays out multiple-choice items as token rows, one for each option, in which the tokens of the option are supervised.

``conversation`` asks in the template of scoring and takes the options as answers. The others are plain texts as lm-eval
has them: ``cloze`` and ``letter`` of ARC and MMLU, ``continuation`` of HellaSwag and OpenBookQA.
"""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engines.evaluate.texts import opening_token
from curate.engines.tokens.templates import Encoded
from curate.schemas.corpus import Turn, turns_of
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from curate.engines.tokens.templates import Template
    from curate.schemas.evaluation import OptionLayout

    Item = dict[str, Any]


def plain_pair(layout: OptionLayout, question: str, options: Sequence[str]) -> tuple[str, list[str]]:
    """Return the context and what is scored after it, without the space between them, for each option."""
    if layout == "cloze":
        return f"Question: {question}\nAnswer:", list(options)
    if layout == "letter":
        letters = ascii_uppercase[: len(options)]
        listed = "".join(f"{letter}. {option}\n" for letter, option in zip(letters, options, strict=True))
        return f"{question}\n{listed}Answer:", list(letters)
    return question, list(options)


def option_rows(
    items: Sequence[Item], layout: OptionLayout, tokenizer: PreTrainedTokenizerBase, template: Template
) -> list[list[Encoded]]:
    """Return the rows of every item, in the order of its options, each of at most `template.max_length` tokens."""
    if layout == "conversation":
        turns = [(turns_of(item["messages"]), option) for item in items for option in item["references"]]
        rows = [
            last_only(row) for row in template.encode_many([(*ts, Turn("assistant", option)) for ts, option in turns])
        ]
    else:
        rows = []
        for item in items:
            context, scored = plain_pair(layout, item["messages"][-1]["content"], item["references"])
            rows += [_plain_row(tokenizer, context, f" {text}", template.max_length) for text in scored]
    flat = iter(rows)
    return [[next(flat) for _ in item["references"]] for item in items]


def unconditional_rows(
    items: Sequence[Item], layout: OptionLayout, tokenizer: PreTrainedTokenizerBase, groups: Sequence[list[Encoded]]
) -> list[Encoded]:
    """Return a row for each option of each item without its question: the option after the opening token alone.

    Raises
    ------
    InputError
        If the tokenizer has neither a beginning-of-text nor an end-of-text token.
    """
    opening = opening_token(tokenizer)
    if opening is None:
        raise InputError(
            "the tokenizer has no token that begins or ends a text, which the likelihood of an option without its "
            "question needs; use --normalise none or bytes"
        )
    rows = []
    for item, group in zip(items, groups, strict=True):
        if layout == "conversation":
            tokens = [row.ids[row.supervised] for row in group]
        else:
            _, scored = plain_pair(layout, "", item["references"])
            tokens = [np.array(tokenizer(f" {s}", add_special_tokens=False)["input_ids"], np.int64) for s in scored]
        # As lm-eval: an option that begins with the opening token is not given a second one.
        rows += [_supervise(np.r_[[opening] if ids[:1] != opening else [], ids].astype(np.int64), 1) for ids in tokens]
    return rows


def scored_bytes(item: Item, layout: OptionLayout) -> list[int]:
    """Return the length in UTF-8 bytes of what is scored for each option, without the space before it; >= 1."""
    scored = item["references"] if layout == "conversation" else plain_pair(layout, "", item["references"])[1]
    return [max(1, len(text.encode())) for text in scored]


def _plain_row(tokenizer: PreTrainedTokenizerBase, context: str, text: str, length: int) -> Encoded:
    """Return context and text encoded together; too long a row loses tokens at its beginning, as in lm-eval."""
    # White space at the end of the context belongs to the word that follows, as tokenizers see it.
    stripped = context.rstrip()
    text = context[len(stripped) :] + text
    if not stripped:
        opening = opening_token(tokenizer)
        ids = [*([] if opening is None else [opening]), *tokenizer(text, add_special_tokens=False)["input_ids"]]
        start = 1
    else:
        ids, start = tokenizer(stripped + text)["input_ids"], len(tokenizer(stripped)["input_ids"])
    row = _supervise(np.asarray(ids, np.int64), start)
    if len(ids) <= length:
        return row
    supervised = row.supervised[-length:].copy()
    supervised[0] = False
    return Encoded(row.ids[-length:], supervised, truncated=True)


def _supervise(ids: NDArray[np.int64], start: int) -> Encoded:
    return Encoded(ids, np.arange(len(ids)) >= start)


def last_start(row: Encoded) -> int:
    """Return where the last run of supervised tokens of a row begins."""
    # Walk back from the last supervised token to the first of its run.
    stop = int(np.flatnonzero(row.supervised)[-1])
    while stop > 0 and row.supervised[stop - 1]:
        stop -= 1
    return stop


def last_only(row: Encoded) -> Encoded:
    """Return the row with only its last run of supervised tokens: earlier answers of a conversation are context."""
    if not row.n_response:
        return row
    supervised = row.supervised.copy()
    supervised[: last_start(row)] = False
    return type(row)(row.ids, supervised, row.truncated, row.error)
