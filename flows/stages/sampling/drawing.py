"""The settings of drawing and accepting as they are used: thresholds filled in, and settings without effect refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.engines.sample.scorer import Scorer
    from curate.engines.sample.task import SamplingTask
    from curate.schemas.sections import SampleSettings
    from curate.schemas.settings import Settings

AGREEMENT = 0.75
"""Share of samples that must agree where nothing was said."""
KEEP = 0.5
"""Share of a row's partials that go on where nothing was said."""


def drawing_settings(given: SampleSettings) -> dict[str, Any]:
    """Return the settings of drawing and accepting that enter the id of targets.

    Raises
    ------
    UsageError
        If two different answers could both have the share that must agree, or nothing would ever be pruned.
    """
    return {
        **given.model_dump(include={"best_of", "accept", "temperature", "max_new_tokens"}),
        **_threshold(given),
        **pruning_settings(given),
    }


def _threshold(given: SampleSettings) -> dict[str, Any]:
    if given.accept == "reference":
        return {}
    threshold = AGREEMENT if given.accept == "agreement" and given.threshold == "auto" else given.threshold
    if given.accept == "agreement" and float(threshold) <= 0.5:
        raise UsageError(f"--threshold {threshold} lets two answers agree enough; give a share above 0.5")
    return {"threshold": threshold if threshold == "auto" else float(threshold)}


def pruning_settings(given: SampleSettings) -> dict[str, Any]:
    """Return ``prune_at`` and ``prune_keep`` as they are used; nothing where no sample is pruned.

    Raises
    ------
    UsageError
        If nothing would ever be pruned.
    """
    from curate.engines.sample.pruning import FEWEST_SAMPLES

    at, keep = given.prune_at, given.prune_keep
    if at is None:
        if keep is not None:
            raise UsageError(f"--prune-keep {keep:g} has no effect without --prune-at TOKENS; pass both, or neither")
        return {}
    if at >= given.max_new_tokens:
        raise UsageError(
            f"--prune-at {at} prunes nothing, since answers end at --max-new-tokens {given.max_new_tokens}; lower the "
            "first or raise the second"
        )
    if given.best_of < FEWEST_SAMPLES:
        raise UsageError(
            f"--prune-at {at} prunes nothing with --best-of {given.best_of}, whose samples are drawn one after "
            f"another; raise --best-of to {FEWEST_SAMPLES} or more, or leave --prune-at out"
        )
    return {"prune_at": at, "prune_keep": KEEP if keep is None else keep}


def sampling_task(settings: Settings, model: str, scorer: Scorer | None) -> SamplingTask:
    """Return the task of the workers that draw."""
    from curate.engines.sample.pruning import Pruning
    from curate.engines.sample.task import SamplingConfig, SamplingTask

    given, pruning = settings.sample, pruning_settings(settings.sample)
    config = SamplingConfig(
        **given.model_dump(include={"best_of", "accept", "temperature", "max_new_tokens"}),
        **settings.score.model_dump(include={"template", "max_length"}),
        threshold=AGREEMENT if given.threshold == "auto" else float(given.threshold),
        seed=settings.seed,
        scorer=scorer,
        pruning=Pruning(pruning["prune_at"], pruning["prune_keep"]) if pruning else None,
    )
    return SamplingTask(model, config, settings.score.dtype, settings.trust_remote_code)
