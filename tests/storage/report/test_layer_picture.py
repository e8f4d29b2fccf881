"""The picture of a model's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from matplotlib.patches import Rectangle

from curate.storage.report.layer_picture import HIGHEST, LOWEST, draw, layer_figure

if TYPE_CHECKING:
    from pathlib import Path


def measured(values: list[float], **more: list[float]) -> list[dict[str, Any]]:
    """Return layers with a `change`, and with further metrics."""
    return [
        {"layer": number, "change": value, **{name: other[number] for name, other in more.items()}}
        for number, value in enumerate(values)
    ]


def test_every_metric_has_a_panel_with_a_bar_for_each_layer(tmp_path: Path) -> None:
    layers = measured([3.0, 1.0, 0.0, 2.0], loss_without=[2.0, 0.1, -0.1, 0.5])
    figure = layer_figure(layers)
    assert len(figure.axes) == 2
    heights = [bar.get_height() for bar in figure.axes[1].patches if isinstance(bar, Rectangle)]
    assert heights == pytest.approx([2.0, 0.1, -0.1, 0.5])
    draw(layers, tmp_path / "pictures" / "layers.png")
    assert (tmp_path / "pictures" / "layers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("layers", "ends"), [(1, 0), (2, 1), (5, 2), (30, 3)])
def test_the_highest_and_the_lowest_layers_are_marked(layers: int, ends: int) -> None:
    axes = layer_figure(measured([float(number) for number in range(layers)])).axes[0]
    labels = {text.get_text(): text.get_color() for text in axes.texts}
    expected = {str(number): LOWEST for number in range(ends)}
    assert labels == expected | {str(layers - 1 - number): HIGHEST for number in range(ends)}
