"""Converts one row of a task file to question, accepted answers and chance score; one function per kind of task."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from curate.schemas.corpus import Turn
from curate.storage.formats.rows import RowProblem, is_missing, join_columns
from curate.storage.formats.shapes.columns import CONTEXT, QUESTION
from curate.storage.formats.shapes.multiple_choice import answered, options_of
from curate.storage.formats.shapes.option_numbers import Numbering, numbering_of, option_of
from curate.storage.formats.shapes.texts import first_column, optional_text, paragraphs, stripped, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from curate.storage.formats.shapes.texts import Values

    ItemParts = tuple[tuple[Turn, ...], list[str], dict[str, Any]]

CHOICE_ANSWERS = ("answerkey", "answer", "label", "gold")
QUESTION_COLUMNS = ("prompt", *QUESTION, "instruction", "ctx")


def _question(values: Values, *, context: bool = False) -> tuple[Turn, ...]:
    column = first_column(values, QUESTION_COLUMNS)
    question = text(values.get(column), column)
    if not question:
        columns = join_columns(list(values))
        raise RowProblem(None, f"no question; put it into a column {QUESTION_COLUMNS[1]!r}, the columns are {columns}")
    passage = optional_text(values, CONTEXT)
    if context and not passage:
        raise RowProblem("context", "no text that contains the answer")
    return (Turn("user", paragraphs(passage, question) if context else question),)


def _reference_answers(values: Values) -> list[str]:
    column = first_column(values, ("answer", "answers", "output"))
    value = values.get(column)
    given = [stripped(str(one) if isinstance(one, int | float) else one, column)
             for one in (value if isinstance(value, list) else [value])]  # fmt: skip
    if not all(given):
        raise RowProblem(column, "no reference answer")
    return given


def choice(values: Values, numbering: Numbering) -> ItemParts:
    """Return the parts of a multiple-choice item; `numbering` says what numbers in its file's answer column mean."""
    values = _named(values)
    labels, options = options_of(values)
    if len(options) < 2:
        raise RowProblem("b", "no option B, and a question needs two options")
    column = first_column(values, CHOICE_ANSWERS)
    answer = values.get(column)
    if is_missing(answer) or answer == "":
        named = f"into a column 'answer', the columns are {join_columns(list(values))}"
        raise RowProblem(
            column if column in values else None, f"no answer; put label, text or number of the right option {named}"
        )
    position = option_of(answer, column, labels, options, numbering)
    return _question(values), options, {"answer": position, "chance": 1 / len(options)}


def _named(values: Values) -> Values:
    """Return a row with the options of HellaSwag under their usual name."""
    return {**values, "choices": values["endings"]} if "endings" in values and "choices" not in values else values


def choice_builder(rows: Iterable[Values]) -> Callable[[Values], ItemParts]:
    """Return the function that makes the items of a multiple-choice file, from all of its rows."""
    return partial(choice, numbering=numbering_of(answered(map(_named, rows), CHOICE_ANSWERS)))


def _rules(values: Values) -> ItemParts:
    rules = values.get("rules")
    listed = rules if isinstance(rules, list) else [rules]
    if not listed or not all(isinstance(rule, str) and rule for rule in listed):
        raise RowProblem("rules", 'not a list of rules such as ["max_words: 20"]')
    return _question(values), [str(rule) for rule in listed], {}


def _summary(values: Values) -> ItemParts:
    document, summary = text(values.get("document"), "document"), text(values.get("summary"), "summary")
    if not document or not summary:
        raise RowProblem("summary" if document else "document", "empty")
    return (Turn("user", paragraphs("Summarise the text.", document)),), [summary], {}


def _text(values: Values) -> ItemParts:
    given = values.get("text")
    if not isinstance(given, str) or not given:
        raise RowProblem("text", "no text")
    return (), [given], {}


ITEM_BUILDERS: dict[str, Callable[[Values], ItemParts]] = {
    "knowledge": lambda values: (_question(values), _reference_answers(values), {}),
    "open-book": lambda values: (_question(values, context=True), _reference_answers(values), {}),
    "reasoning": lambda values: (_question(values), _reference_answers(values), {}),
    "instructions": _rules,
    "summary": _summary,
    "judged": lambda values: (_question(values), _reference_answers(values), {}),
    "perplexity": _text,
    "divergence": _text,
}
"""Kind to a function that returns question, accepted answers and other fields of an item from a row's values.

They raise RowProblem if the row has no such item. For ``choice`` see `choice_builder`.
"""


def share(value: object) -> float:
    """Return the stated chance score; RowProblem if it is not in [0, 1)."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise RowProblem("chance", f"{value!r} is not a share in [0, 1)")
    return float(value)
