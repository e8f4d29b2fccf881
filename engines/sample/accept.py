"""Decides which of a row's samples is its target: by the corpus's answer, by agreement, or by a calibrated score.

An answer that was cut off is never accepted: it would teach a model to end in the middle. One that was pruned is not
compared either: it might have been right.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from curate.engines.evaluate.grading import is_accepted, last_number, normal_form
from curate.engines.sample.answer import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.engines.sample.answer import Answer
    from curate.engines.sample.scorer import Scorer

    Judge = Callable[[Sequence[Answer], str], Verdict]

Accept = Literal["reference", "agreement", "likelihood", "selfeval"]

FEWEST = 3
"""Samples without which agreement says nothing: two answers are equal or they are not."""

SHORT = 8
"""Most words of a reference that another answer is expected to repeat. Ours."""


def by_reference(answers: Sequence[Answer], reference: str) -> Verdict:
    """Accept the first answer that equals the reference."""
    passed = tuple(None if one.pruned else not one.stopped_early and matches(one.text, reference) for one in answers)
    return Verdict(passed, tuple(map(float, map(bool, passed))), passed.index(True) if True in passed else None)


def by_agreement(answers: Sequence[Answer], threshold: float) -> Verdict:
    """Accept the first answer whose normal form at least the share `threshold` of the samples has; not before three.

    Samples that were pruned are not counted: they neither agree nor differ.

    Parameters
    ----------
    answers : sequence of Answer
    threshold : float
        In (0.5, 1], so that two forms cannot both reach it.
    """
    forms = ["" if one.stopped_early else normal_form(one.text) for one in answers]
    counts = Counter(form for form in forms if form)
    known = sum(not one.pruned for one in answers)
    scores = tuple(counts[form] / max(known, 1) for form in forms)
    ready = known >= FEWEST
    accepted = next((index for index, score in enumerate(scores) if ready and score >= threshold), None)
    return Verdict((None,) * len(forms), scores, accepted)


def by_score(answers: Sequence[Answer], scorer: Scorer) -> Verdict:
    """Accept the first answer whose score reaches the scorer's threshold."""
    scores = tuple(0.0 if one.stopped_early else scorer.score(one) for one in answers)
    accepted = next((index for index, score in enumerate(scores) if score >= scorer.threshold), None)
    return Verdict((None,) * len(scores), scores, accepted)


def never(answers: Sequence[Answer], reference: str) -> Verdict:
    """Compare all answers with the reference and go on: a scorer must not be measured on what one check stopped."""
    verdict = by_reference(answers, reference)
    return Verdict(verdict.passed, verdict.scores, None)


def judge_of(accept: Accept, threshold: float, scorer: Scorer | None = None) -> Judge:
    """Return the function that judges a row's answers, given its reference.

    Parameters
    ----------
    threshold : float
        Of ``agreement``.
    scorer : Scorer, optional
        Of ``likelihood`` and ``selfeval``; rows with a check are judged by it. Without one nothing is accepted.
    """
    if accept == "reference":
        return by_reference
    if accept == "agreement":
        return lambda answers, reference: by_agreement(answers, threshold)
    if scorer is None:
        return never
    return lambda answers, reference: (
        by_reference(answers, reference) if has_check(reference) else by_score(answers, scorer)
    )


def has_check(reference: str) -> bool:
    """Return whether an answer that differs from this reference is wrong: it is a number, marks one, or is short."""
    return _final_number(reference) is not None or 0 < len(normal_form(reference).split()) <= SHORT


def matches(text: str, reference: str) -> bool:
    """Return whether an answer equals a reference: in normal form, or in its final number.

    The number decides where it is all that the reference says, or where ``####`` marks it as the result of a worked
    answer: in other texts two answers may end in one number and differ.
    """
    if is_accepted(text, [reference]):
        return True
    number = _final_number(reference)
    return number is not None and last_number(text) == number


def _final_number(reference: str) -> str | None:
    """Return the number that a reference says, or marks as its result; None where it says more."""
    number = last_number(reference)
    if number is None or not ("####" in reference or normal_form(reference) == normal_form(number)):
        return None
    return number
