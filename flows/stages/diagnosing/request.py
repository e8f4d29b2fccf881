"""What the diagnoses of all kinds share: their recipe, the rows that are drawn, and how the engine reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.stages.recipe import Recipe
from curate.flows.stages.rendering import rendering_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from curate.engines.diagnose.request import DiagnosisRequest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1


def diagnosis_recipe(
    warehouse: Warehouse,
    settings: Settings,
    kind: str,
    inputs: Mapping[str, str],
    models: Mapping[str, str],
    options: Iterable[str],
) -> Recipe:
    """Return the recipe of a diagnosis: the models' files, the rows drawn and how they are read.

    Parameters
    ----------
    inputs : mapping
        Ids of artefacts by noun.
    models : mapping
        Folders of models by role; their files become inputs, and the last one's tokenizer reads the rows.
    options : iterable of str
        Names of the settings of a diagnosis that this kind depends on.
    """
    from curate.engines.models.checkpoints import model_files

    files = {role: warehouse.digests.files(model_files(name)) for role, name in models.items()}
    how: dict[str, Any] = {name: getattr(settings.score, name) for name in ("template", "max_length", "dtype")}
    how |= {"kind": kind, "seed": settings.seed, **settings.diagnose.model_dump(include=set(options))}
    how |= rendering_setting(settings.score.template, list(models.values())[-1])
    return Recipe("diagnosis", VERSION, {**inputs, **files}, how, {"device": settings.score.device})


def engine_request(settings: Settings) -> DiagnosisRequest:
    """Return the engine's request."""
    from curate.engines.diagnose.request import DiagnosisRequest

    return DiagnosisRequest(
        settings.diagnose.leave_one_out,
        settings.score.max_length,
        settings.score.template,
        settings.score.device.partition(",")[0],
        settings.score.dtype,
        settings.trust_remote_code,
    )


def drawn(n_rows: int, settings: Settings) -> np.ndarray:
    """Return the places of the rows to measure on among `n_rows`, drawn at random by the seed, ascending."""
    # The first entries of one permutation: a larger number of rows is a superset.
    return np.sort(np.random.default_rng(settings.seed).permutation(n_rows)[: settings.diagnose.rows])
