"""Checkpoints of a training run: the trained tensors, AdamW's moments and the metrics so far, whole or not there.

Knows nothing of models and methods; what is saved is named tensors.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from curate.schemas.errors import UsageError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

KEPT = 2
"""Checkpoints kept: the last, and the one before in case the last is unreadable."""

_NAME = re.compile(r"step-(\d+)")
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progressed:
    """How far a run is."""

    metrics: list[dict[str, Any]]
    """One row per finished step."""
    batch_tokens: int
    """Tokens of a forward pass; smaller than asked for once memory ran out."""
    unreached: list[str] = field(default_factory=list)
    """Trained tensors that got no gradient in the first step."""


class Checkpoints:
    """The checkpoints in one folder, for one cause.

    Parameters
    ----------
    folder : Path
        Made when the first is written.
    cause : str
        Digest of everything that decides the run; a checkpoint of another cause is refused.
    """

    def __init__(self, folder: Path, cause: str) -> None:
        self.folder, self._cause = folder, cause

    def latest(self) -> Path | None:
        """Return the newest checkpoint, None where there is none."""
        found = self._all()
        return found[-1] if found else None

    def write(self, trainable: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer, done: Progressed) -> None:
        """Write a checkpoint; it is there whole when this returns, and older ones but one are removed.

        Raises
        ------
        WarehouseError
            If the disk refuses.
        """
        target = self.folder / f"step-{len(done.metrics):06d}"
        unfinished = self.folder / f".tmp-{target.name}"
        tensors = {f"weight.{name}": one.detach() for name, one in trainable.items()}
        for name, one in trainable.items():
            tensors |= {f"{moment}.{name}": optimiser.state[one][moment] for moment in _MOMENTS}
        told = {"cause": self._cause, **asdict(done)}
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            save_file({name: one.cpu().contiguous() for name, one in tensors.items()}, unfinished / "state.safetensors")
            (unfinished / "state.json").write_text(json.dumps(told), "utf-8")
            for path in (*unfinished.iterdir(), unfinished):
                _sync(path)
            shutil.rmtree(target, ignore_errors=True)
            unfinished.rename(target)
            _sync(self.folder)
            for old in self._all()[:-KEPT]:
                shutil.rmtree(old)
        except (OSError, SafetensorError) as error:
            raise WarehouseError(f"cannot write the checkpoint {target} ({error}); free some space") from error

    def restore(self, trainable: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> Progressed | None:
        """Put the newest checkpoint back and return how far it was, None where there is none.

        Raises
        ------
        UsageError
            If it belongs to a run with other rows, another model or other settings.
        WarehouseError
            If it cannot be read.
        """
        found = self.latest()
        if found is None:
            return None
        try:
            told = json.loads((found / "state.json").read_text("utf-8"))
            tensors = load_file(found / "state.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise WarehouseError(
                f"checkpoint {found} cannot be read ({error}); delete it and run the same command again"
            ) from error
        if told["cause"] != self._cause:
            raise UsageError(
                f"checkpoint {found} belongs to a recovery with other rows, another model or other settings; "
                f"delete {self.folder}, or add --no-resume to begin anew"
            )
        with torch.no_grad():
            for name, one in trainable.items():
                one.copy_(tensors[f"weight.{name}"])
                moments = {moment: tensors[f"{moment}.{name}"].to(one.device) for moment in _MOMENTS}
                optimiser.state[one] = {"step": torch.tensor(float(len(told["metrics"]))), **moments}
        return Progressed(told["metrics"], told["batch_tokens"], told["unreached"])

    def clear(self) -> None:
        """Remove every checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
