"""The engine's request of a recovery, made from the settings: the weight of the original, the number of processes."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError
from curate.schemas.recovery import NAMED_TEACHER_WEIGHT, STEP_ROWS, TEACHER_WEIGHT, RecoveryRequest

if TYPE_CHECKING:
    from curate.schemas.settings import Settings


def request_of(settings: Settings) -> RecoveryRequest:
    """Return the engine's request; what was not given is its default.

    Raises
    ------
    UsageError
        If a method, a schedule or a part is unknown.
    """
    given = settings.recover.model_dump(exclude={"heldout", "teacher", "processes"}, exclude_none=True)
    given["teacher_weight"] = teacher_weight(settings)
    if given["teacher_weight"] and settings.score.teacher_cache != "exact":
        given["teacher_top"] = int(settings.score.teacher_cache.partition("=")[2])
    if settings.recover.tokens != "all":
        given["token_share"] = float(settings.recover.tokens.partition("=")[2])
    given["reweigh_steps"] = settings.recover.reweigh
    given["elastic"] = tuple(sorted({1.0, *settings.recover.elastic}, reverse=True)) if settings.recover.elastic else ()
    shared = settings.score.model_dump(include={"max_length", "template", "device", "dtype"})
    shared["device"] = shared["device"].partition(",")[0]  # a pair may be scored on two, one model is trained on one
    own = {item.name for item in fields(RecoveryRequest)}
    extra = {"seed": settings.seed, "trust_remote_code": settings.trust_remote_code}
    return RecoveryRequest(**{name: value for name, value in {**given, **shared, **extra}.items() if name in own})


def teacher_weight(settings: Settings) -> float:
    """Return the weight of the original's predictions in the loss: what was said, else the default where it is known.

    The artefact holds this number, so that it stays what it was if the default changes.
    """
    given = settings.recover
    if given.teacher == "none":
        return 0.0
    if given.teacher == "original":
        return given.teacher_weight or NAMED_TEACHER_WEIGHT
    if settings.original is None or given.epochs == 0:
        return 0.0
    return given.teacher_weight or TEACHER_WEIGHT


def processes(settings: Settings) -> int:
    """Return how many processes share every step of the training: one for each CUDA device where nothing was said.

    Raises
    ------
    UsageError
        If several were asked for on a Ray cluster, where one worker trains.
    """
    from curate.engines.models.devices import training_device_count

    request = request_of(settings)
    if settings.engine == "ray":
        if settings.recover.processes not in (None, 1):
            raise UsageError(
                f"--processes {settings.recover.processes} shares the devices of this machine; with --engine ray one "
                "worker trains, leave it out"
            )
        return 1
    return settings.recover.processes or min(training_device_count(request.device), request.batch or STEP_ROWS[0])
