"""Loads a model folder in a process of its own that imports transformers and nothing of `curate`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LOAD = """
import json, sys
import torch
from transformers import AutoModelForCausalLM
results = []
for folder in json.loads(sys.argv[1]):
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    with torch.no_grad():
        logits = model(torch.tensor([json.loads(sys.argv[2])])).logits[0].float().tolist()
        written = model.generate(torch.tensor([[1, 4]]), max_new_tokens=3, do_sample=False)[0].tolist()
    results.append({"config": model.config.to_dict(), "logits": logits, "generated": written})
assert not [name for name in sys.modules if name.split(".")[0] == "curate"]
print(json.dumps(results, default=str))
"""


def load(folders: list[Path], ids: list[int]) -> list[dict[str, Any]]:
    """Return configuration, logits of `ids`, shape (T, vocabulary) as lists, and generated ids of each folder."""
    command = [sys.executable, "-I", "-c", LOAD, json.dumps([str(folder) for folder in folders]), json.dumps(ids)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    loaded: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return loaded
