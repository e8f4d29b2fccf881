"""Reads Hugging Face hub datasets, ``hub:owner/name@revision``. The only module of storage with network access.

The default revision is ``main``; the corpus's digest always contains the commit of the revision.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError, UsageError
from curate.storage.formats.containers import dataset_directory
from curate.storage.formats.rows import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.storage.formats.rows import RawRows

PREFIX = "hub:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HINT = "check the name, the revision and the network, or download the dataset and give its folder"


def parse(address: str) -> tuple[str, str]:
    """Return name and revision of ``hub:owner/name@revision``; UsageError if the name is empty."""
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    if not name.strip("/ "):
        raise UsageError(f"{address!r} does not name a dataset; write hub:owner/name or hub:owner/name@revision")
    return name, revision or "main"


def read(address: str, source: str) -> Iterator[tuple[str, RawRows]]:
    """Yield source name and rows of each split.

    Raises
    ------
    InputError
        If the hub has no such dataset or revision, or cannot be reached.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    name, revision = parse(address)
    try:
        dataset = load_dataset(name, revision=revision)
    except (OSError, ValueError, RuntimeError, DatasetsError) as problem:
        raise InputError(f"{address} cannot be loaded ({printable(str(problem))}); {_HINT}") from problem
    yield from dataset_directory.splits(dataset, source)


def commit(address: str) -> str:
    """Return the commit of the revision; a full commit is returned without a request to the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    name, revision = parse(address)
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        sha = HfApi().dataset_info(name, revision=revision).sha
    except (OSError, ValueError, HfHubHTTPError) as problem:
        raise InputError(f"{address} cannot be looked up ({printable(str(problem))}); {_HINT}") from problem
    return str(sha)
