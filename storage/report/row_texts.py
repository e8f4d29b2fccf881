"""Packs texts and scores of as many drawn rows as a page has room for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.storage.report import samples
from curate.storage.report.packing import packed_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents
    from curate.storage.warehouse.warehouse import Warehouse


def packed_texts(warehouse: Warehouse, contents: Contents, drawn: NDArray[np.int64], most: int) -> dict[str, Any]:
    """Return the texts of the first rows of `samples.text_order`, as many as fit.

    If the texts of all `drawn` rows fit with `samples.SHOWN` characters each, all are there, else texts have
    `samples.BRIEF` characters.

    Parameters
    ----------
    most : int
        Characters of the page that may be used.

    Returns
    -------
    dict
        ``packed``, the number of rows ``n``, and the names of the ``signals``. A line of the packed text is the JSON of
        [place in `drawn`, rank or null, values of the signals, prompt, response].
    """
    order = samples.text_order(contents, drawn)
    text = samples.texts(warehouse, contents, order, ["prompt", "response"])
    place = {row: position for position, row in enumerate(drawn.tolist())}
    packed, n = "", 0
    for length in (samples.SHOWN, samples.BRIEF):
        packed, n = packed_lines(_lines(contents, order, place, text, length), most)
        if n == len(drawn):
            break
    return {"packed": packed, "n": n, "signals": list(contents.signals)}


def _lines(
    contents: Contents, order: list[int], place: dict[int, int], text: dict[int, dict[str, Any]], length: int
) -> Iterator[str]:
    for row in order:
        texts = [samples.shortened(text[row][column], length) for column in ("prompt", "response")]
        values = [_rounded(signal[row]) for signal in contents.signals.values()]
        # Lone surrogates cannot be written as UTF-8; the packed text replaces them as the page does.
        yield json.dumps(
            [place[row], int(contents.rank[row]) or None, values, *texts], ensure_ascii=False, separators=(",", ":")
        )


def _rounded(value: float) -> float | None:
    """Return a value with three significant digits, None if it is not finite."""
    return float(f"{value:.3g}") if np.isfinite(value) else None
