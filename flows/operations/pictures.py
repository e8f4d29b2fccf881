"""Pictures of selections, clusters and diagnoses: drawn if matplotlib is installed, else skipped with a message."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curate.flows import progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse


def draw_if_possible(warehouse: Warehouse, selection_id: str) -> Path | None:
    """Return the picture of a selection, drawing it on first use; None if it cannot be drawn.

    A selection without clusters has no map to draw.
    """
    if "clusters" not in warehouse.manifest("selection", selection_id).inputs or not _can_draw():
        return None
    path = warehouse.root / "pictures" / f"{selection_id}.png"
    if not path.exists():
        from curate.storage.report.selection_picture import draw

        draw(warehouse, selection_id, path)
    return path


def draw_curve_if_possible(warehouse: Warehouse, clusters_id: str) -> Path | None:
    """Return the picture of the choice of the number of clusters; None if it was given or cannot be drawn."""
    if not warehouse.manifest("clusters", clusters_id).rows("curve") or not _can_draw():
        return None
    path = warehouse.root / "pictures" / f"{clusters_id}.png"
    if not path.exists():
        from curate.storage.report.curve_picture import draw

        draw(warehouse, clusters_id, path)
    return path


def draw_layers_if_possible(warehouse: Warehouse, diagnosis_id: str, layers: Sequence[dict[str, Any]]) -> Path | None:
    """Return the picture of the layers of a diagnosis; None if it cannot be drawn."""
    if not _can_draw():
        return None
    path = warehouse.root / "pictures" / f"{diagnosis_id}.png"
    if not path.exists():
        from curate.storage.report.layer_picture import draw

        draw(layers, path)
    return path


def _can_draw() -> bool:
    if find_spec("matplotlib") is None:
        progress.note('no picture was drawn, matplotlib is missing: pip install "curate-llm[viz]"')
        return False
    return True
