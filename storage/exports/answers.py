"""A model's accepted answers in place of the corpus's, in the rows of an export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from curate.schemas.corpus import example_id
from curate.schemas.targets import conversations_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from curate.storage.exports.rows import KeptRow
    from curate.storage.exports.writing import ExportCounts


@dataclass(frozen=True)
class Answers:
    """Accepted answers, and what becomes of the corpus's."""

    targets: str
    """Id of the targets artefact."""
    texts: Mapping[str, str]
    """Accepted answer by example id."""
    keep_reference: str
    """``on-miss``, ``never`` or ``always``."""
    model: str
    """Name of the model that gave them."""
    licence: str
    """Licence of that model."""


def with_answers(rows: Iterable[KeptRow], answers: Answers, counts: ExportCounts) -> Iterator[KeptRow]:
    """Yield the rows with accepted answers as last turns, under the licences of the row and of the model.

    A row that is neither exchanged nor kept is counted as left out. A changed conversation has an id of its own.
    """
    of_model = f"{answers.licence} (answers of {answers.model})"
    for row in rows:
        conversations = conversations_with(row.turns, answers.texts.get(row.example_id), answers.keep_reference)
        if not conversations:
            counts.left_out[row.example_id] = "no accepted answer"
        for turns in conversations:
            if turns == row.turns:
                yield row
            else:
                licences = tuple(sorted({*row.licences, of_model}))
                yield replace(row, example_id=example_id(turns, row.tools), turns=turns, licences=licences)
