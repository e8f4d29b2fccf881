"""Chooses the decoder layers that a recovery trains: those that are named, or those furthest from the original."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from curate.engines.diagnose.layers import errors_from_original
from curate.engines.diagnose.request import DiagnosisRequest
from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.configuration import load_config
from curate.engines.models.projections import decoder_layers
from curate.engines.recover.training.processes import SINGLE_PROCESS
from curate.schemas.errors import UsageError
from curate.schemas.layer_choice import ALL, automatic, named

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.recover.prepare import RecoverySetup
    from curate.engines.recover.training.processes import ProcessGroup
    from curate.schemas.recovery import RecoveryRequest

ROWS = 32
"""Training rows, the first ones, that the distance from the original is measured on."""


def with_chosen_layers(
    setup: RecoverySetup, original: str | None, request: RecoveryRequest, group: ProcessGroup = SINGLE_PROCESS
) -> RecoveryRequest:
    """Return the request with the numbers of the layers to train in place of ``auto:N``.

    Raises
    ------
    UsageError
        If the model has no such layer, or ``auto:N`` has no original of as many layers to compare with.
    """
    if request.layers == ALL:
        return request
    n_layers = _count(setup.source, request)
    wanted = automatic(request.layers)
    if wanted is None:
        layers = named(request.layers)
        if not layers or layers[-1] >= n_layers:
            raise UsageError(
                f"layers {request.layers} are not among 0 to {n_layers - 1} of model {setup.name!r}; name some of these"
            )
        return replace(request, layers=",".join(map(str, layers)))
    if wanted > n_layers:
        raise UsageError(f"layers auto:{wanted} are more than the {n_layers} of model {setup.name!r}; give fewer")
    errors = _errors(setup, original, request, n_layers) if group.is_first else [0.0] * n_layers
    # From the first process only: rounding must not make two processes train different layers.
    worst = furthest(group.gather(*errors)[0], wanted)
    return replace(request, layers=",".join(map(str, worst)))


def furthest(errors: list[float], number: int) -> list[int]:
    """Return the layers with the largest errors, ascending; of equal ones the first."""
    return sorted(sorted(range(len(errors)), key=lambda layer: -errors[layer])[:number])


def layer_prefixes(model: PreTrainedModel, text: str) -> tuple[str, ...]:
    """Return the beginnings of the names of everything in the layers `text`; of everything in the model for all."""
    if text == ALL:
        return ("",)
    path, _ = decoder_layers(model)
    return tuple(f"{path}.{layer}." for layer in named(text))


def other_layers(model: PreTrainedModel, text: str) -> str | None:
    """Return a regular expression of the names in all decoder layers but those of `text`, None if there are none."""
    path, layers = decoder_layers(model)
    chosen = range(len(layers)) if text == ALL else named(text)
    others = [str(layer) for layer in range(len(layers)) if layer not in chosen]
    return rf"{re.escape(path)}\.({'|'.join(others)})\..*" if others else None


def _errors(setup: RecoverySetup, original: str | None, request: RecoveryRequest, n_layers: int) -> list[float]:
    if original is None:
        raise UsageError(
            f"--layers {request.layers} compares layers with the original's; pass --original FOLDER, or name the layers"
        )
    folder = resolve_model(original)
    before = _count(folder, request)
    if before != n_layers:
        raise UsageError(
            f"--layers {request.layers} compares layers one by one, and the original has {before}, model "
            f"{setup.name!r} {n_layers}; name the layers"
        )
    rows = [torch.from_numpy(item.ids)[None] for item in setup.rows[:ROWS]]
    how = DiagnosisRequest(device=str(setup.device), dtype=request.dtype, trust_remote_code=request.trust_remote_code)
    return errors_from_original(setup.folder, folder, rows, how)


def _count(folder: Path, request: RecoveryRequest) -> int:
    config = load_config(folder, trust_remote_code=request.trust_remote_code).get_text_config(decoder=True)
    return int(config.num_hidden_layers)
