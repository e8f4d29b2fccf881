"""Random files of every format: rows that were not touched are read as they were, or quarantined; nothing else is.

`CURATE_FUZZ_FILES=2000 pytest tests/storage/formats/test_fuzz.py -m slow -s` reads as many files, and prints counts.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import datasets
import pytest
from references.damaged_files import DamagedFile, draw

from curate.schemas.corpus import Example
from curate.schemas.errors import CurateError
from curate.storage.formats import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = int(os.environ.get("CURATE_FUZZ_FILES", "300"))
SEED = 12


@pytest.fixture
def _quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def outcome(drawn: DamagedFile) -> tuple[str, list[str], int]:
    """Return how a file was read, the ids of its rows, and the number of quarantined rows."""
    ids, n_quarantined = [], 0
    try:
        for row in read_source(drawn.path):
            if isinstance(row, Example):
                ids.append(row.id)
            else:
                n_quarantined += 1
    except CurateError as error:
        lines = str(error).count("\n") + 1
        return f"refused: {type(error).__name__}, {lines} line", ids, n_quarantined
    return "read", ids, n_quarantined


@pytest.mark.slow
@pytest.mark.usefixtures("_quiet")
def test_no_row_is_altered_or_lost_in_silence(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for number in range(FILES):
        folder = tmp_path / str(number)
        folder.mkdir()
        drawn = draw(folder, Random(f"{SEED} {number}"))
        result, ids, n_quarantined = outcome(drawn)
        where = f"file {number} ({drawn.about}): {result}, {len(ids)} rows, {n_quarantined} quarantined"
        missing, foreign = Counter(drawn.expected) - Counter(ids), Counter(ids) - Counter(drawn.expected)
        # A file of which nothing can be used is refused; its rows are then named by the error.
        refused = drawn.may_fail or not drawn.expected
        assert result == "read" or refused, where
        assert not drawn.exact or not foreign, f"{where}: {sum(foreign.values())} altered"
        lost = 0 if drawn.may_fail else sum(missing.values())
        assert result != "read" or lost <= n_quarantined, f"{where}: {lost} lost"
        counts.update({result: 1, "rows": len(ids), "quarantined": n_quarantined, drawn.about.partition(", ")[2]: 1})
        shutil.rmtree(folder)
    print(dict(sorted(counts.items())))
    assert counts["read"] > FILES / 2
