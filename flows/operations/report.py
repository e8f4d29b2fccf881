"""``curate report``: writes a selection as one HTML file, and its pictures as PNG files."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curate.flows.operations.output_files import refuse_special
from curate.flows.operations.selection_summary import meaning
from curate.flows.session import open_warehouse
from curate.schemas.errors import MissingExtraError, UsageError
from curate.selectors.text.phrases import rows_read, telling_phrases
from curate.storage.report.page import write_report
from curate.storage.warehouse.permissions import files_of_user

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from curate.schemas.settings import Settings


def report(settings: Settings, selection: str, out: Path | None, png: bool) -> dict[str, Any]:
    """Write the report of a selection and return the paths of the files.

    Parameters
    ----------
    selection : str
        Id, its beginning, or ``latest``.
    out : Path or None
        The HTML file; by default in the warehouse's folder ``reports``.
    png : bool
        Whether to write the pictures as PNG files next to it.

    Raises
    ------
    UsageError
        If the selection is unknown, or `out` is a folder.
    MissingExtraError
        If `png` is true and matplotlib is not installed.
    """
    if png and find_spec("matplotlib") is None:
        raise MissingExtraError("drawing pictures", "viz")
    warehouse = open_warehouse(settings)
    selection_id = warehouse.find("selection", selection).id
    path = warehouse.root / "reports" / f"{selection_id}.html" if out is None else out.absolute()
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; give a file such as {path / 'report.html'}")
    refuse_special(path, "--out")
    pictures: list[Path] = []
    with files_of_user() if out is not None else nullcontext():
        write_report(warehouse, selection_id, path, meaning, naming)
        if png:
            from curate.storage.report.pictures import draw_pictures

            pictures = draw_pictures(warehouse, selection_id, path)
    return {"selection_id": selection_id, "report": str(path), "pictures": [str(picture) for picture in pictures]}


def naming(labels: NDArray[np.int64], read: Callable[[NDArray[np.int64]], list[str]]) -> dict[int, list[str]]:
    """Return the phrases that name each label; `read` returns the prompts of some of the n rows."""
    rows = rows_read(labels)
    return telling_phrases(read(rows), labels[rows])
