"""The curve of the choice of the number of clusters is drawn if it was chosen automatically."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from conftest import Run

pytest.importorskip("matplotlib", reason="the extra 'viz' is not installed")


def test_the_curve_is_drawn_as_it_is_stored(curate: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = curate("cluster", "--corpus", corpus, "--json").value
    assert Path(artefact["picture"]).read_bytes().startswith(b"\x89PNG")
    from curate.storage.report.curve_picture import curve_figure

    warehouse = Warehouse(Path(artefact["folder"]).parents[1])
    curve = warehouse.read("clusters", artefact["id"], "curve")
    modularity, stability, silhouette, chosen = curve_figure(warehouse, artefact["id"]).axes[0].lines
    assert np.asarray(modularity.get_xdata()).tolist() == curve["k"].to_pylist()
    assert np.asarray(modularity.get_ydata()).tolist() == curve["modularity"].to_pylist()
    assert np.asarray(stability.get_ydata()).tolist() == curve["stability"].to_pylist()
    assert np.asarray(silhouette.get_ydata()).tolist() == curve["silhouette"].to_pylist()
    assert set(np.asarray(chosen.get_xdata()).tolist()) == {artefact["facts"]["n_clusters_asked"]}

    for earlier in (curve.drop(["silhouette"]), with_nulls(curve)):  # of version 3, and grown since
        monkeypatch.setattr(Warehouse, "read", lambda *_, table=earlier: table)
        assert len(curve_figure(warehouse, artefact["id"]).axes[0].lines) == 3


def with_nulls(curve: pa.Table) -> pa.Table:
    place = curve.column_names.index("silhouette")
    return curve.set_column(place, "silhouette", pa.nulls(len(curve), pa.float64()))


def test_a_given_number_of_clusters_has_no_curve(curate: Run, corpus: Path) -> None:
    assert curate("cluster", "--corpus", corpus, "--clusters", 2, "--json").value["picture"] is None
