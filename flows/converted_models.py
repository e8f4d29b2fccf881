"""Conversion of models in other formats than safetensors into model folders of the warehouse.

GGUF files and ``.bin`` files that hold tensors only are converted as they are; pickles with code in them only where
``--trust-pickle`` is set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.schemas.artefacts import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def with_converted(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with converted folders in place of models in other formats."""
    roles = {"original": settings.original, "compressed": settings.compressed}
    update: dict[str, Any] = {role: converted(warehouse, model, settings.trust_pickle) for role, model in roles.items()}
    judge = converted(warehouse, settings.evaluate.judge, settings.trust_pickle)
    update["evaluate"] = settings.evaluate.model_copy(update={"judge": judge})
    return settings.model_copy(update=update)


def converted(warehouse: Warehouse, model: str | None, trust_pickle: bool) -> str | None:
    """Return the folder of a converted model, converting it on first use; any other `model` unchanged.

    Raises
    ------
    InputError
        If the model cannot be converted.
    MissingExtraError
        For a GGUF file without the package that reads it.
    """
    # A hub name or an ordinary folder is recognised by a few names of files, without importing torch.
    if model is None or not (path := Path(model).expanduser()).exists():
        return model
    return (
        _from_gguf(warehouse, path)
        or _from_state_dict(warehouse, path, trust_pickle)
        or (_from_pickle(warehouse, path) if trust_pickle else None)
        or model
    )


def _from_gguf(warehouse: Warehouse, path: Path) -> str | None:
    from curate.engines.models.gguf_files import convert_gguf, find_gguf

    file = find_gguf(path)
    if file is None:
        return None
    digests = warehouse.digests.files([file])

    def convert(folder: Path) -> None:
        progress.note(f"converting the GGUF model {file}; its weights are dequantised once")
        convert_gguf(file, folder, digest(digests))

    return _converted_once(warehouse, f"gguf-{digest(digests)}", convert)


def _from_state_dict(warehouse: Warehouse, path: Path, trust_pickle: bool) -> str | None:
    # torch, which the conversion needs, takes a second to import: only where there is something to convert.
    if not (path.suffix == ".bin" or any(path.glob("pytorch_model*.bin*"))):
        return None
    from curate.engines.models.state_dicts import CodeNeededError, convert_state_dict, find_state_dict

    files = find_state_dict(path)
    if not files:
        return None
    beside = sorted(file for file in files[0].parent.iterdir() if file.is_file() and file.suffix != ".bin")
    name = f"bin-{digest(warehouse.digests.files([*files, *beside]))}"
    try:
        return _converted_once(warehouse, name, lambda folder: convert_state_dict(files, folder))
    except CodeNeededError:
        if trust_pickle:
            return None
        raise


def _from_pickle(warehouse: Warehouse, path: Path) -> str | None:
    from curate.engines.models.checkpoints import find_pickle

    pickle = find_pickle(path)
    if pickle is None:
        return None

    def convert_pickle(folder: Path) -> None:
        from curate.engines.models.pickles import convert

        progress.note(f"converting the pickled model {pickle}; this executes the code it contains")
        convert(pickle, folder)

    return _converted_once(warehouse, f"converted-{digest(warehouse.digests.files([pickle]))}", convert_pickle)


def _converted_once(warehouse: Warehouse, name: str, convert: Callable[[Path], None]) -> str:
    """Return the folder of a name that stands for the model's content: the same file elsewhere is converted once."""
    folder = warehouse.root / "models" / name
    with warehouse.lock(f"models-{name}"):
        if not folder.exists():
            convert(folder)
    return str(folder)
