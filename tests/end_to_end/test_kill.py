"""A run that is killed at any moment resumes to the same bytes: real models, every stage, a few hundred rows."""

from __future__ import annotations

import gzip
import random
import time
from typing import TYPE_CHECKING

import attempts
import pytest

from curate.flows import demo
from curate.schemas.artefacts import NOUNS
from curate.storage.catalog import queries
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ROWS, PART_ROWS = 300, 100
RANDOM_KILLS = 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "slice.jsonl"
    with gzip.open(demo.pool_path(), "rt") as pool:
        path.write_text("".join(line for line, _ in zip(pool, range(ROWS), strict=False)))
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    pruned = tmp_path_factory.mktemp("models") / "pruned"
    original = str(demo.model_path())
    assert attempts.run(["compress", original, "-m", "magnitude", "--sparsity", "0.6", "--out", str(pruned)]) == 0
    return original, str(pruned)


def command(corpus: Path, pair: tuple[str, str], warehouse: Path) -> list[str]:
    models = ["--original", pair[0], "--compressed", pair[1]]
    layout = ["--part-rows", str(PART_ROWS), "--clusters", "6", "--threads", "1"]
    return ["select", "-m", "paser", "-b", "0.1", "-c", str(corpus), *models, *layout, "-w", str(warehouse)]


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, pair: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Return the warehouse of an uninterrupted run, and the seconds that a run takes."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("first", "second"):  # the first run fills the file system cache
        start = time.monotonic()
        assert attempts.run(command(corpus, pair, folder / name)) == 0
    return folder / "second", time.monotonic() - start


def assert_complete(warehouse: Path) -> None:
    """Assert that nothing partial is visible: every listed artefact verifies, and the catalog opens."""
    opened = Warehouse(warehouse)
    for noun in NOUNS:
        for manifest in opened.list(noun):
            assert verify(opened, noun, manifest.id) == []
    if (warehouse / "catalog.duckdb").exists():
        with queries.open_catalog(warehouse) as con:
            queries.run_sql(con, "SELECT count(*) FROM ledger")


def assert_kept(before: dict[str, tuple[int, bytes]], after: dict[str, tuple[int, bytes]]) -> None:
    """Assert that no finished part was written again."""
    for name, (modified, content) in before.items():
        assert after[name] == (modified, content), name


def assert_same(warehouse: Path, expected: Path) -> None:
    """Assert that two warehouses hold the same parts, byte for byte."""
    parts, expected_parts = attempts.parts(warehouse), attempts.parts(expected)
    assert parts.keys() == expected_parts.keys()
    assert any(name.startswith("selection/") for name in expected_parts)
    for name, (_, content) in expected_parts.items():
        assert parts[name][1] == content, name


def test_a_kill_before_and_after_every_rename(
    corpus: Path, pair: tuple[str, str], uninterrupted: tuple[Path, float], tmp_path: Path
) -> None:
    """Each attempt is killed before or after the first rename not yet used for a kill, until no such rename is left."""
    warehouse, arguments = tmp_path / "warehouse", command(corpus, pair, tmp_path / "warehouse")
    moments = tmp_path / "moments"
    code = -9
    while code == -9:
        finished = attempts.parts(warehouse)
        code = attempts.run(arguments, attempts.Kill(survived=moments))
        assert_kept(finished, attempts.parts(warehouse))
        assert_complete(warehouse)
    assert code == 0
    kills = moments.read_text().splitlines()
    names = {moment.rpartition("/")[2] for moment in kills}
    assert names >= {"manifest.json", "part-00002.parquet", "catalog.duckdb", "terms-00000.parquet"}
    assert sum(moment.startswith("before ") for moment in kills) == len(kills) / 2 >= 30
    assert_same(warehouse, uninterrupted[0])


def test_a_kill_at_random_moments(
    corpus: Path, pair: tuple[str, str], uninterrupted: tuple[Path, float], tmp_path: Path
) -> None:
    expected, seconds = uninterrupted
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed of the moments: {seed}")
    moments = random.Random(seed)
    killed = 0
    for number in range(RANDOM_KILLS):
        warehouse = tmp_path / str(number)
        arguments = command(corpus, pair, warehouse)
        code = attempts.run(arguments, attempts.Kill(seconds=moments.uniform(0.05, seconds)))
        assert code in (0, -9)
        killed += code == -9
        assert_complete(warehouse)
        finished = attempts.parts(warehouse)
        assert attempts.run(arguments) == 0
        assert_kept(finished, attempts.parts(warehouse))
        assert_complete(warehouse)
        assert_same(warehouse, expected)
    assert killed >= RANDOM_KILLS // 2
