"""Decides which of a row's samples is its target: by the corpus's answer, or by agreement. Pure functions of strings.

An answer that was cut off is never accepted: it would teach a model to end in the middle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from curate.engines.evaluate.grading import is_accepted, last_number, normal_form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Accept = Literal["reference", "agreement"]

FEWEST = 3
"""Samples without which agreement says nothing: two answers are equal or they are not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One drawn answer."""

    text: str
    """Without control tokens and outer white space."""
    n_tokens: int
    """Tokens drawn, ≥ 1, the end token included."""
    mean_logp: float
    """Mean of log p of these tokens under the model, nats."""
    stopped_early: bool
    """Whether it was cut off before its end."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of all answers drawn for one row so far."""

    passed: tuple[bool | None, ...]
    """Whether each equals the reference; None where there was no comparison."""
    scores: tuple[float, ...]
    """Score of each in [0, 1], larger = better."""
    accepted: int | None
    """Position of the accepted answer; None while there is none."""


def by_reference(answers: Sequence[Answer], reference: str) -> Verdict:
    """Accept the first answer that equals the reference."""
    passed = tuple(not one.stopped_early and matches(one.text, reference) for one in answers)
    return Verdict(passed, tuple(map(float, passed)), passed.index(True) if True in passed else None)


def by_agreement(answers: Sequence[Answer], threshold: float) -> Verdict:
    """Accept the first answer whose normal form at least the share `threshold` of the samples has; not before three.

    Parameters
    ----------
    answers : sequence of Answer
    threshold : float
        In (0.5, 1], so that two forms cannot both reach it.
    """
    forms = ["" if one.stopped_early else normal_form(one.text) for one in answers]
    counts = Counter(form for form in forms if form)
    scores = tuple(counts[form] / len(forms) for form in forms)
    ready = len(forms) >= FEWEST
    accepted = next((index for index, score in enumerate(scores) if ready and score >= threshold), None)
    return Verdict((None,) * len(forms), scores, accepted)


def judge_of(accept: Accept, threshold: float) -> Callable[[Sequence[Answer], str], Verdict]:
    """Return the function that judges a row's answers, given its reference."""
    if accept == "reference":
        return by_reference
    return lambda answers, reference: by_agreement(answers, threshold)


def matches(text: str, reference: str) -> bool:
    """Return whether an answer equals a reference: in normal form, or in its final number.

    The number decides where it is all that the reference says, or where ``####`` marks it as the result of a worked
    answer: in other texts two answers may end in one number and differ.
    """
    if is_accepted(text, [reference]):
        return True
    number = last_number(reference)
    if number is None or not ("####" in reference or normal_form(reference) == normal_form(number)):
        return False
    return last_number(text) == number
