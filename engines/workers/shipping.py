"""Files on other machines: models are shipped to a folder of the node once, or expected there and compared.

The driver puts a model's files into Ray's object store in chunks; the first worker of a node that needs them writes a
folder, named after the digest of the content, that later workers and runs find. Trained models come back the same way.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import CurateError, InputError, UsageError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHUNK = 32 * 2**20
"""Bytes of one object: small beside any object store, which moves what does not fit to disk."""

Put = Callable[[bytes], Any]
"""``ray.put``; returns a reference to an object in the store, which is there as long as the process that put it."""

FileSizes = dict[str, int]
"""Size in bytes of each file of a model, by its path in the model's folder."""


@dataclass(frozen=True)
class ShippedFiles:
    """A folder in the object store."""

    digest: str
    """BLAKE2b of names and contents, 32 hexadecimal digits."""
    files: tuple[tuple[str, tuple[Any, ...]], ...]
    """Path in the folder, and references to the chunks of the content."""


def ship(name: str, files: Sequence[Path], put: Put) -> ShippedFiles:
    """Put a model's files into the object store.

    Parameters
    ----------
    name : str
        Of the model, for errors.
    files : sequence of Path
    put : callable

    Raises
    ------
    UsageError
        For an adapter whose base is in another folder, and which names it by its path here.
    """
    return pack(_relative(name, files), put)


def pack(files: Mapping[str, Path], put: Put) -> ShippedFiles:
    """Put files into the object store, by their path in the folder that they will be written to."""
    total = hashlib.blake2b(digest_size=16)
    shipped = []
    for relative, path in sorted(files.items()):
        content = hashlib.blake2b()
        chunks = []
        for chunk in _chunks(path):
            content.update(chunk)
            chunks.append(put(chunk))
        total.update(f"{relative}\0{content.hexdigest()}\n".encode())
        shipped.append((relative, tuple(chunks)))
    return ShippedFiles(total.hexdigest(), tuple(shipped))


def unpack(model: ShippedFiles, cache: Path | None = None) -> Path:
    """Return the folder of a shipped model on this node, writing it if this is the first worker to need it."""
    root = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "models"
    folder = root / model.digest
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{model.digest}.lock").open("w") as lock:
        # The other workers of the node wait here and find the folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = root / f"{model.digest}.tmp"
            shutil.rmtree(unfinished, ignore_errors=True)
            write_files(model, unfinished)
            unfinished.rename(folder)
    return folder


def write_files(shipped: ShippedFiles, folder: Path) -> None:
    """Write the files of the object store below `folder`.

    Raises
    ------
    CurateError
        If the process that put them there has ended.
    """
    import ray
    from ray.exceptions import RayError

    for relative, chunks in shipped.files:
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for chunk in chunks:
                try:
                    file.write(ray.get(chunk))
                except RayError as error:
                    raise CurateError(
                        f"{path} was lost with the node that it is copied from ({first_line(error)}); run the same "
                        "command again"
                    ) from error


def file_sizes(name: str, files: Sequence[Path]) -> FileSizes:
    """Return the sizes of a model's files; of an adapter, those in its own folder."""
    root = Path(name).expanduser()
    return {str(path.relative_to(root)): path.stat().st_size for path in files if path.is_relative_to(root)}


def check_present(folder: str, sizes: FileSizes) -> None:
    """Check that this node has a folder with files of the same sizes as the driver's.

    Raises
    ------
    InputError
        Naming the folder, or the file that is missing or has another size.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(
            f"there is no model folder {folder!r} on this node; give a folder that all nodes share, a hub name, or "
            "--ship-models to copy it to them"
        )
    for name, size in sizes.items():
        here = (root / name).stat().st_size if (root / name).is_file() else None
        if here != size:
            problem = "is missing on this node" if here is None else f"has {here:,} bytes on this node"
            raise InputError(
                f"{root / name} {problem} and {size:,} where the run was started; copy the same model there, or pass "
                "--ship-models"
            )


def _relative(name: str, files: Sequence[Path]) -> dict[str, Path]:
    root = Path(os.path.commonpath([path.parent for path in files]))
    relative = {str(path.relative_to(root)): path for path in files}
    if any(path.name == "adapter_config.json" for path in files):
        raise UsageError(
            f"--ship-models does not ship the adapter {name!r}, whose base model is elsewhere; merge it, or put both "
            "in a folder that all nodes share"
        )
    return relative


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
