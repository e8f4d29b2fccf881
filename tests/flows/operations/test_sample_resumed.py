"""``curate sample`` in workers, on a cluster, after a kill and after damage: the same samples."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from demo_samples import DRAWING
from ray_cluster import running_cluster

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.mark.slow
def test_workers_and_smaller_parts_draw_the_same_samples(
    curate: Run, demo_selection: tuple[Path, str], root: Path, sampled: dict[str, Any], tmp_path: Path
) -> None:
    other = shutil.copytree(demo_selection[0], tmp_path / "other")
    again = curate("sample", *DRAWING, "--part-items", 7, "--workers", 2, "-w", other, "--json")
    assert again.code == 0, again.err
    assert again.value["targets_id"] == sampled["targets_id"]
    one, two = (Warehouse(folder).read("targets", sampled["targets_id"]) for folder in (root, other))
    # Sums of a batch of another size are rounded otherwise.
    assert one.drop_columns(["mean_logp"]) == two.drop_columns(["mean_logp"])
    assert one["mean_logp"].to_pylist() == pytest.approx(two["mean_logp"].to_pylist(), abs=1e-4)


def test_a_damaged_part_is_drawn_again(curate: Run, root: Path, sampled: dict[str, Any]) -> None:
    part = Warehouse(root).folder("targets", sampled["targets_id"]) / "part-00000.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    repaired = curate("doctor", "--repair", "-w", root, "--json")
    assert repaired.code == 0, repaired.err
    assert part.read_bytes() == content


@pytest.mark.slow
def test_a_killed_run_resumes(curate: Run, root: Path, demo_id: str, tmp_path: Path) -> None:
    """Kill it before and after every rename; the final content equals that of an uninterrupted run."""
    shutil.copytree(root, tmp_path / "broken")

    def arguments(warehouse: Path) -> list[str]:
        return ["sample", *map(str, DRAWING), "--part-items", "9", "--threads", "1", "--warehouse", str(warehouse)]

    assert attempts.run(arguments(root)) == 0
    killed = 0
    while attempts.run(arguments(tmp_path / "broken"), attempts.Kill(tmp_path / "survived")) != 0:
        killed += 1
        assert killed < 60
    assert killed >= 8

    def content(warehouse: Path) -> dict[str, bytes]:
        return {name: data for name, (_, data) in attempts.parts(warehouse).items()}

    assert content(tmp_path / "broken") == content(root)
    assert len([name for name in content(root) if name.startswith("targets/")]) == 4


@pytest.mark.slow
def test_a_cluster_draws_the_samples_of_a_local_run(
    curate: Run, demo_selection: tuple[Path, str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason='needs the extra "ray"')
    command = ("sample", *DRAWING, "--part-items", 9, "--threads", 1, "--json")
    local = curate(*command, "-w", root)
    other = shutil.copytree(demo_selection[0], tmp_path / "other")
    with running_cluster(tmp_path / "cache", 1) as running:
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        answer = curate(*command, "--engine", "ray", "--cpus-per-worker", 1, "--ship-models", "-w", other)
    assert answer.code == 0, answer.err
    assert answer.value == local.value
    first, second = ({name: data for name, (_, data) in attempts.parts(one).items()} for one in (root, other))
    assert first == second
