"""A hub name is read from the local cache of the hub; one without safetensors says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from models import save_llama

if TYPE_CHECKING:
    from pathlib import Path

LIST = "from curate.engines.models.checkpoints import model_files; print(len(model_files('owner/name')))"


def listed(hub: Path) -> subprocess.CompletedProcess[str]:
    """List the files of owner/name in a process of its own: the hub's library reads its settings when imported."""
    environment = {**os.environ, "HF_HOME": str(hub), "HF_HUB_CACHE": str(hub / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", LIST]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin", "model-Q4_K_M.gguf"])
def test_weights_of_a_hub_name(tmp_path: Path, weights: str) -> None:
    cache = tmp_path / "hub" / "models--owner--name"
    snapshot = cache / "snapshots" / ("a" * 40)
    shutil.copytree(save_llama(tmp_path / "model"), snapshot)
    (snapshot / "model.safetensors").rename(snapshot / weights)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("a" * 40)
    result = listed(tmp_path)
    if weights == "model.safetensors":
        assert (result.returncode, result.stdout.strip()) == (0, "4"), result.stderr
    else:
        assert "InputError: model 'owner/name' has no safetensors on the model hub; download its .gguf" in result.stderr
