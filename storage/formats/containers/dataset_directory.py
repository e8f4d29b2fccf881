"""Reads Hugging Face datasets from folders written by ``save_to_disk``.

A dataset of several splits is read split by split, in the dataset's order; the split is part of the source's name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.storage.formats.containers.cells import BATCH_ROWS, rows_of
from curate.storage.formats.rows import DamagedFile, RawRows, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datasets import Dataset, DatasetDict

STATE_FILES = ("dataset_dict.json", "state.json")


def is_dataset(path: Path) -> bool:
    """Return True if the folder was written by ``save_to_disk``."""
    return path.is_dir() and any((path / name).is_file() for name in STATE_FILES)


def read(path: Path, source: str) -> Iterator[tuple[str, RawRows]]:
    """Yield each split's source name and rows.

    Raises
    ------
    DamagedFile
        If files are missing or broken.
    """
    try:
        if not (path / STATE_FILES[0]).is_file():
            yield source, _rows(_load(path), source)
            return
        for name in json.loads((path / STATE_FILES[0]).read_bytes())["splits"]:
            yield f"{source}/{name}", _rows(_load(path / name), f"{source}/{name}")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as problem:
        raise DamagedFile(f"is a damaged dataset folder ({printable(str(problem))})") from problem


def _load(path: Path) -> Dataset | None:
    """Return the dataset in a folder, None if it has no file: the library does not read what it writes for no rows."""
    from datasets import load_from_disk

    if not json.loads((path / STATE_FILES[1]).read_bytes())["_data_files"]:
        return None
    dataset: Dataset = load_from_disk(str(path))
    return dataset


def splits(dataset: Dataset | DatasetDict, source: str) -> Iterator[tuple[str, RawRows]]:
    """Yield source name and rows of each split of a dataset, or of the dataset itself if it has none."""
    if isinstance(dataset, dict):
        for name, split in dataset.items():
            yield f"{source}/{name}", _rows(split, f"{source}/{name}")
    else:
        yield source, _rows(dataset, source)


def _rows(dataset: Dataset | None, source: str) -> RawRows:
    number = 1
    if dataset is None or not len(dataset):
        return
    try:
        for table in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
            for batch in table.to_batches():
                yield from rows_of(batch, source, number)
                number += batch.num_rows
    except (OSError, pa.ArrowException) as problem:
        raise DamagedFile("is a damaged dataset folder") from problem
