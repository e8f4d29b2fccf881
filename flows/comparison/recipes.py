"""What the cells of a comparison learn from: the words of ``--recipes``, and training in words.

``ce`` is cross-entropy of the given answers, ``kl`` the divergence from the original's predictions, and ``kl=0.5`` half
of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection

    from curate.schemas.recovery import RecoveryRequest
    from curate.schemas.recovery_section import RecoverSettings
    from curate.schemas.settings import Settings

CROSS_ENTROPY, DIVERGENCE = "ce", "kl"


def recipes(settings: Settings) -> tuple[str, ...]:
    """Return the recipes in the order of the report: as given, or one without a name, that of ``recover``.

    Raises
    ------
    UsageError
        If a recipe is unknown or given twice, or ``--teacher`` sets the same as ``--recipes``.
    """
    given = settings.compare.recipes
    for word in given:
        recipe_of(word)
    if len(set(given)) < len(given):
        raise UsageError(f"--recipes {','.join(given)!r} names one twice; give each once")
    if given and settings.recover.teacher is not None:
        raise UsageError("--recipes says what every cell learns from; leave out --teacher")
    return given or ("",)


def recipe_of(word: str) -> dict[str, Any]:
    """Return the settings of ``recover`` that a recipe changes: ``ce``, ``kl`` or ``kl=WEIGHT``; none for ``""``.

    Raises
    ------
    UsageError
        If it is none of these, or the weight is not in (0, 1].
    """
    if not word:
        return {}
    name, equals, text = word.partition("=")
    if name not in (CROSS_ENTROPY, DIVERGENCE) or (equals and name == CROSS_ENTROPY):
        hint = did_you_mean(name, [CROSS_ENTROPY, DIVERGENCE])
        raise UsageError(f"recipe {word!r} is not known{hint}")
    if name == CROSS_ENTROPY:
        return {"teacher": "none"}
    if not equals:
        return {"teacher": None}
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= 1:
        raise UsageError(f"recipe {word!r}: {text!r} is no weight in (0, 1]; give a share such as kl=0.5")
    return {"teacher": None, "teacher_weight": weight}


def with_recipe(recover: RecoverSettings, word: str) -> RecoverSettings:
    """Return the settings of training with the loss that `word` names."""
    return recover.model_copy(update=recipe_of(word))


def training_words(request: RecoveryRequest, methods: Collection[str]) -> str:
    """Return how the cells were trained: methods, loss, and what came before."""
    first = "every layer fitted to the original's output, then " if request.reconstruct else ""
    return f"{first}{' and '.join(sorted(methods))}, {request.loss}"
