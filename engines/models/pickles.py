"""Converts a pickled model to an ordinary folder: ``python -m curate.engines.models.pickles FILE FOLDER``.

Opening a pickle can run any code, so it happens in a separate process, and only if the user trusts the file.
LLM-Pruner saves ``{"model": module, "tokenizer": tokenizer}`` with nonuniform layer widths; a bare module is accepted
too. The folder holds safetensors, configuration, tokenizer and, for nonuniform widths, their shapes.
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

from curate.engines.models.archives import check_inflated
from curate.engines.models.nonuniform import nonuniform_shapes
from curate.engines.models.weight_files import SHAPES
from curate.schemas.errors import CurateError, InputError

TIMEOUT_SECONDS = 3600.0


def convert(pickle: Path, folder: Path) -> None:
    """Convert a trusted pickle in a separate process; `folder` is created atomically.

    Raises
    ------
    InputError
        If it holds no causal language model, or needs classes that are not installed.
    """
    check_inflated(pickle)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tmp-") as temporary:
        converted = Path(temporary) / "model"
        command = [sys.executable, "-m", "curate.engines.models.pickles", str(pickle.absolute()), str(converted)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        if process.returncode:
            reason = (process.stderr.strip().splitlines() or ["the process ended without a message"])[-1]
            raise InputError(f"pickled model {str(pickle)!r} cannot be converted: {reason}")
        converted.rename(folder)


def write_folder(pickle: Path, folder: Path) -> None:
    """Open the pickle in this process and write the folder.

    Raises
    ------
    InputError
        If it holds no causal language model.
    """
    try:
        content = torch.load(pickle, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise InputError(
            f"it needs the module {error.name!r}, which is not installed; install it and try again"
        ) from error
    except Exception as error:  # a pickle may raise anything
        raise InputError(f"it cannot be opened ({type(error).__name__}: {' '.join(str(error).split())})") from error
    model, tokenizer = _parts(content)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise InputError(f"it holds {type(model).__name__}, not a model with a configuration")
    # Rebuilt from its values, because the pickled object may lack fields that later versions of its class expect.
    settings: dict[str, Any] = cast("Any", model.config).to_dict()
    config = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        stock = AutoModelForCausalLM.from_config(config)
    shared = set(getattr(stock, "all_tied_weights_keys", None) or ()) if config.tie_word_embeddings else set()
    names = [name for name in stock.state_dict() if name not in shared]
    own = model.state_dict()
    if absent := [name for name in names if name not in own]:
        raise InputError(f"it lacks {len(absent)} weights of a {config.model_type!r} model, first {absent[0]}")
    state = {name: own[name].detach().clone().contiguous() for name in names}
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config.dtype = next(weight.dtype for weight in state.values() if weight.is_floating_point())
    config.save_pretrained(folder)
    if shapes := nonuniform_shapes(stock, state):
        (folder / SHAPES).write_text(json.dumps(shapes, indent=1) + "\n", "utf-8")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _parts(content: Any) -> tuple[Any, Any]:
    """Return model and tokenizer of a pickle's content; either may be None."""
    return (content.get("model"), content.get("tokenizer")) if isinstance(content, dict) else (content, None)


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
