"""Turns a pickled model into an ordinary folder: ``python -m curate.engines.models.pickles FILE FOLDER``.

Opening a pickle can run any code, so that this is a process of its own and happens only when a person said that the
file is trusted. LLM-Pruner saves ``{"model": module, "tokenizer": tokenizer}`` with layers of different widths; a bare
module is taken too. Written are safetensors, configuration, tokenizer and, where widths differ, their shapes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from curate.engines.models.nonuniform import SHAPES, other_shapes
from curate.schemas.errors import CurateError, InputError

SECONDS = 3600.0


def convert(pickle: Path, folder: Path) -> None:
    """Convert a trusted pickle in a process of its own; `folder` appears whole or not at all.

    Raises
    ------
    InputError
        When it holds no causal language model, or needs classes that are not installed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tmp-") as place:
        made = Path(place) / "model"
        command = [sys.executable, "-m", "curate.engines.models.pickles", str(pickle.absolute()), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise InputError(f"pickled model {str(pickle)!r} cannot be converted: {said}")
        made.rename(folder)


def write_folder(pickle: Path, folder: Path) -> None:
    """Open the pickle, here, and write the folder.

    Raises
    ------
    InputError
        When it holds no causal language model.
    """
    try:
        held = torch.load(pickle, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise InputError(
            f"it needs the module {error.name!r}, which is not installed; install it and try again"
        ) from error
    except Exception as error:  # a pickle may raise anything
        raise InputError(f"it cannot be opened ({type(error).__name__}: {' '.join(str(error).split())})") from error
    model, tokenizer = (held.get("model"), held.get("tokenizer")) if isinstance(held, dict) else (held, None)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise InputError(f"it holds {type(model).__name__}, not a model with a configuration")
    told: dict[str, Any] = cast("Any", model.config).to_dict()
    config = AutoConfig.for_model(**told)
    with torch.device("meta"):
        stock = AutoModelForCausalLM.from_config(config)
    shared = set(getattr(stock, "all_tied_weights_keys", None) or ()) if config.tie_word_embeddings else set()
    wanted = [name for name in stock.state_dict() if name not in shared]
    own = model.state_dict()
    if absent := [name for name in wanted if name not in own]:
        raise InputError(f"it lacks {len(absent)} weights of a {config.model_type!r} model, first {absent[0]}")
    state = {name: own[name].detach().clone().contiguous() for name in wanted}
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config.dtype = next(one.dtype for one in state.values() if one.is_floating_point())
    config.save_pretrained(folder)
    if shapes := other_shapes(stock, state):
        (folder / SHAPES).write_text(json.dumps(shapes, indent=1) + "\n", "utf-8")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def main(arguments: list[str] | None = None) -> int:
    """Convert and return the exit code."""
    pickle, folder = (sys.argv[1:] if arguments is None else arguments)[:2]
    try:
        write_folder(Path(pickle), Path(folder))
    except CurateError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
