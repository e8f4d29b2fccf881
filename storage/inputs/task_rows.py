"""One row of a task file as what is asked, what is accepted, and what guessing would score; a maker a kind.

Knows nothing of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.corpus import Turn
from curate.storage.formats.rows import RowProblem, join_columns
from curate.storage.formats.shapes.columns import CONTEXT, QUESTION
from curate.storage.formats.shapes.multiple_choice import letter_of, options_of
from curate.storage.formats.shapes.texts import first_column, optional_text, paragraphs, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.storage.formats.shapes.texts import Values

    Made = tuple[tuple[Turn, ...], list[str], dict[str, Any]]

QUESTION_COLUMNS = ("prompt", *QUESTION, "instruction")


def _question(values: Values, *, context: bool = False) -> tuple[Turn, ...]:
    column = first_column(values, QUESTION_COLUMNS)
    asked = text(values.get(column), column)
    if not asked:
        raise RowProblem(None, f"no question; a question stands in a column {QUESTION_COLUMNS[1]!r}, and there are "
                               f"{join_columns(list(values))}")  # fmt: skip
    given = optional_text(values, CONTEXT)
    if context and not given:
        raise RowProblem("context", "no text that holds the answer")
    return (Turn("user", paragraphs(given, asked) if context else asked),)


def _accepted(values: Values) -> list[str]:
    column = first_column(values, ("answer", "answers", "output"))
    value = values.get(column)
    given = [text(str(one) if isinstance(one, int | float) else one, column)
             for one in (value if isinstance(value, list) else [value])]  # fmt: skip
    if not all(given):
        raise RowProblem(column, "no answer to compare with")
    return given


def _choice(values: Values) -> Made:
    labels, options = options_of(values)
    column = first_column(values, ("answerkey", "answer", "label", "gold"))
    answer = values.get(column)
    label = letter_of(answer, column, labels)
    if label in labels:
        place = list(labels).index(label)
    elif label in options:
        place = options.index(label)
    else:
        raise RowProblem(column, f"{label!r} is neither a label nor one of the {len(options)} options")
    return _question(values), options, {"answer": place, "chance": 1 / len(options)}


def _rules(values: Values) -> Made:
    rules = values.get("rules")
    listed = rules if isinstance(rules, list) else [rules]
    if not listed or not all(isinstance(rule, str) and rule for rule in listed):
        raise RowProblem("rules", 'no list of rules such as ["max_words: 20"]')
    return _question(values), [str(rule) for rule in listed], {}


def _summary(values: Values) -> Made:
    document, summary = text(values.get("document"), "document"), text(values.get("summary"), "summary")
    if not document or not summary:
        raise RowProblem("summary" if document else "document", "nothing there")
    return (Turn("user", paragraphs("Summarise the text.", document)),), [summary], {}


def _perplexity(values: Values) -> Made:
    given = values.get("text")
    if not isinstance(given, str) or not given:
        raise RowProblem("text", "no text")
    return (), [given], {}


ITEM_BUILDERS: dict[str, Callable[[Values], Made]] = {
    "choice": _choice,
    "knowledge": lambda values: (_question(values), _accepted(values), {}),
    "open-book": lambda values: (_question(values, context=True), _accepted(values), {}),
    "reasoning": lambda values: (_question(values), _accepted(values), {}),
    "instructions": _rules,
    "summary": _summary,
    "judged": lambda values: (_question(values), _accepted(values), {}),
    "perplexity": _perplexity,
}
"""By kind: from a row's values to question, accepted answers and other fields of the item; RowProblem if none."""


def share(value: object) -> float:
    """Return what guessing scores as it was stated; RowProblem if it is no share in [0, 1)."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise RowProblem("chance", f"{value!r} is no share in [0, 1)")
    return float(value)
