"""Checkpoints of a training run: the trained tensors, AdamW's moments and the metrics so far, written atomically.

Does not depend on models and methods: the content is named tensors.
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
class TrainingProgress:
    """State of a run besides tensors. Stored in checkpoints under these names."""

    metrics: list[dict[str, Any]]
    """One row per finished step."""
    batch_tokens: int
    """Tokens of a forward pass; less than requested once memory ran out."""
    unreached: list[str] = field(default_factory=list)
    """Trained tensors that got no gradient in the first step."""
    groups: dict[str, Any] = field(default_factory=dict)
    """State of the weights of groups of rows, if any; see `group_weights`."""


class Checkpoints:
    """The checkpoints of one run in a folder.

    Parameters
    ----------
    folder : Path
        Created with the first checkpoint.
    cause : str
        Digest of everything that decides the run; a checkpoint with another digest is refused.
    """

    def __init__(self, folder: Path, cause: str) -> None:
        self.folder, self._cause = folder, cause

    def latest(self) -> Path | None:
        """Return the newest checkpoint, None if there is none."""
        checkpoints = self._sorted()
        return checkpoints[-1] if checkpoints else None

    def write(
        self, trainable: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer, progress: TrainingProgress
    ) -> None:
        """Write a checkpoint and delete the oldest ones beyond `KEPT`.

        Raises
        ------
        WarehouseError
            If the disk cannot be written.
        """
        target = self.folder / f"step-{len(progress.metrics):06d}"
        unfinished = self.folder / f".tmp-{target.name}"
        tensors = {f"weight.{name}": one.detach() for name, one in trainable.items()}
        for name, one in trainable.items():
            tensors |= {f"{moment}.{name}": optimiser.state[one][moment] for moment in _MOMENTS}
        state = {"cause": self._cause, **asdict(progress)}
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            save_file({name: one.cpu().contiguous() for name, one in tensors.items()}, unfinished / "state.safetensors")
            (unfinished / "state.json").write_text(json.dumps(state), "utf-8")
            # Contents before the rename, the rename before older checkpoints go: after a power cut at any point
            # a complete checkpoint is on the disk.
            for path in (*unfinished.iterdir(), unfinished):
                _sync(path)
            shutil.rmtree(target, ignore_errors=True)
            unfinished.rename(target)
            _sync(self.folder)
            for old in self._sorted()[:-KEPT]:
                shutil.rmtree(old)
        except (OSError, SafetensorError) as error:
            raise WarehouseError(f"cannot write the checkpoint {target} ({error}); free some space") from error

    def restore(
        self, trainable: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer
    ) -> TrainingProgress | None:
        """Load the newest checkpoint into `trainable` and `optimiser`; return its progress, None if there is none.

        Raises
        ------
        UsageError
            If it belongs to a run with other rows, another model or other settings.
        WarehouseError
            If it cannot be read.
        """
        latest = self.latest()
        if latest is None:
            return None
        try:
            state = json.loads((latest / "state.json").read_text("utf-8"))
            tensors = load_file(latest / "state.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise WarehouseError(
                f"checkpoint {latest} cannot be read ({error}); delete it and run the same command again"
            ) from error
        if state["cause"] != self._cause:
            raise UsageError(
                f"checkpoint {latest} belongs to a recovery with other rows, another model or other settings; "
                f"delete {self.folder}, or add --no-resume to start from the beginning"
            )
        with torch.no_grad():
            for name, one in trainable.items():
                one.copy_(tensors[f"weight.{name}"])
                moments = {moment: tensors[f"{moment}.{name}"].to(one.device) for moment in _MOMENTS}
                # AdamW corrects the bias of its moments by the step; every step updates every tensor.
                optimiser.state[one] = {"step": torch.tensor(float(len(state["metrics"]))), **moments}
        return TrainingProgress(state["metrics"], state["batch_tokens"], state["unreached"], state.get("groups", {}))

    def clear(self) -> None:
        """Delete every checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sorted(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
