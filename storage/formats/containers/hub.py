"""A dataset on the Hugging Face hub: ``hub:owner/name@revision``. The only module of storage that uses the network.

Without a revision the hub's ``main`` is meant; the digest always holds the commit that this stood for.
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
    """Return name and revision of ``hub:owner/name@revision``; UsageError if it names nothing."""
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    if not name.strip("/ "):
        raise UsageError(f"{address!r} names no dataset; write hub:owner/name or hub:owner/name@revision")
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
    """Return the commit that the revision stands for; a full commit is returned without asking the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    name, revision = parse(address)
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        found = HfApi().dataset_info(name, revision=revision).sha
    except (OSError, ValueError, HfHubHTTPError) as problem:
        raise InputError(f"{address} cannot be looked up ({printable(str(problem))}); {_HINT}") from problem
    return str(found)
