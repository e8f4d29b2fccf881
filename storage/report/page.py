"""Writes the report of a selection: one self-contained HTML file whose content security policy forbids all requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from curate.storage.report import samples, sections
from curate.storage.report.contents import Contents, read_contents
from curate.storage.report.distributions import HEIGHT, NAMES, WIDTH, distributions
from curate.storage.report.points import plane
from curate.storage.report.row_texts import packed_texts
from curate.storage.report.rows import drawn_rows, packed_rows
from curate.storage.report.targets import targets
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.storage.warehouse.warehouse import Warehouse

    Naming = Callable[[NDArray[np.int64], Callable[[NDArray[np.int64]], list[str]]], dict[int, list[str]]]
    """From the labels of n rows, and a function that reads the prompts of some of them, to phrases for each label."""

TEMPLATES = Path(__file__).with_name("templates")
LIMIT = 1_000_000
"""Bytes of a page. Texts of rows fill what the rest leaves."""
_SCRIPTS = (
    "colours.js", "unpack.js", "filter.js", "view.js", "map.js", "pointer.js", "card.js", "picked.js", "plane.js",
    "table.js",
)  # fmt: skip


def write_report(
    warehouse: Warehouse, selection_id: str, path: Path, meaning: Callable[[str], str], naming: Naming
) -> None:
    """Write the report of a selection to one HTML file.

    Parameters
    ----------
    selection_id : str
        Its full id.
    path : Path
        The file; replaced atomically if it exists.
    meaning : callable
        Returns the explanation of a ledger reason, one clause, or an empty string.
    naming : callable
        Names clusters; see `Naming`.

    Raises
    ------
    WarehouseError
        If an artefact is missing or damaged, or the file cannot be written.
    """
    contents = read_contents(warehouse, selection_id)
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, _bytes(page(warehouse, contents, meaning, naming)))


def page(warehouse: Warehouse, contents: Contents, meaning: Callable[[str], str], naming: Naming) -> dict[str, Any]:
    """Return the values of the template, with as many texts as the page has room for."""
    drawn = drawn_rows(contents)
    values = _values(warehouse, contents, meaning, _names(warehouse, contents, naming))
    values["data"] |= {"rows": packed_rows(contents, drawn), "texts": {"packed": "", "n": len(drawn), "signals": []}}
    values["map"] = values["data"]["rows"] if values["data"]["rows"]["layouts"] else None
    room = LIMIT - len(_bytes(values)) - sum(len(name) + 3 for name in contents.signals)
    values["data"]["texts"] = packed_texts(warehouse, contents, drawn, room)
    return values


def render(values: dict[str, Any]) -> str:
    """Return the HTML for the values of `page`; all texts in them are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "count": _count, "nats": _nats, "short": _short, "percent": _percent, "hue": hue, "script_json": _script_json,
    }  # fmt: skip
    return environment.get_template("report.html").render(values)


def hue(cluster: int) -> float:
    """Return a cluster's hue in degrees; `clusterColour` in colours.js computes the same."""
    # Steps of the golden angle give consecutive clusters hues that are far apart.
    return round(cluster * 137.508 % 360, 1)


def _bytes(values: dict[str, Any]) -> bytes:
    return render(values).encode("utf-8", "replace")


def _names(warehouse: Warehouse, contents: Contents, naming: Naming) -> dict[int, str]:
    """Return the name of every cluster or group: its telling phrases, or its terms where it has none."""
    phrases: dict[int, list[str]] = {}
    grouped = any(row.get("group") is not None for row in contents.clusters)
    if contents.cluster is not None and not grouped:
        rows = np.flatnonzero(~contents.forgotten)

        def read(some: NDArray[np.int64]) -> list[str]:
            text = samples.texts(warehouse, contents, rows[some].tolist(), ["prompt"])
            return [text[row]["prompt"] for row in rows[some].tolist()]

        phrases = naming(contents.cluster[rows], read)
    return {
        row["cluster"]: " · ".join(phrases.get(row["cluster"], [])) or ", ".join(row["terms"][:5])
        for row in contents.clusters
    }


def _values(
    warehouse: Warehouse, contents: Contents, meaning: Callable[[str], str], names: dict[int, str]
) -> dict[str, Any]:
    selection = contents.selection
    sample_groups, examples = samples.sample_groups(contents), samples.typical_rows(contents)
    shown = {row for _, _, rows in sample_groups for row in rows}
    related_ids = {str(contents.related[row]) for row in shown if contents.related[row]}
    is_related = np.isin(contents.example_id, [*related_ids]) & ~contents.forgotten
    others = {str(contents.example_id[row]): int(row) for row in np.flatnonzero(is_related)}
    beside = (row for rows in examples.values() for row in rows)
    text = samples.texts(warehouse, contents, {*shown, *others.values(), *beside}, ["messages", "prompt"])
    plane_data = plane(contents)
    return {
        "id": selection.id,
        "method": selection.settings["method"],
        "budget": selection.settings["budget"],
        "facts": selection.facts,
        "n": len(contents),
        "n_kept": int(contents.kept.sum()),
        "read": sections.row_counts(contents.upstream["corpus"]),
        "gain": sections.gain(contents),
        "clusters": sections.clusters(contents, names, text, examples),
        "n_clusters": len(contents.clusters),
        "groups": "group" if any(row.get("group") is not None for row in contents.clusters) else "cluster",
        "plane": plane_data,
        "distributions": distributions(contents),
        "drawing": (WIDTH, HEIGHT),
        "reasons": sections.reasons(contents, meaning),
        "targets": targets(warehouse, contents),
        "quarantine": contents.quarantine,
        "kinds": [
            (
                title,
                about or meaning(title.partition(": ")[2]),
                [sections.sample(contents, row, text, names, others) for row in rows],
            )
            for title, about, rows in sample_groups
        ],
        "sources": contents.sources,
        "lineage": [sections.lineage_step(one) for one in (*contents.upstream.values(), selection)],
        "settings": json.dumps(selection.settings, indent=2, ensure_ascii=False, sort_keys=True),
        "versions": selection.versions,
        "data": {
            "plane": plane_data,
            "clusters": names,
            "titles": {name: NAMES.get(name, name) for name in contents.signals},
            "meanings": {reason: meaning(reason) for reason in sorted({str(one) for one in contents.reason})},
        },
        "style": (TEMPLATES / "style.css").read_text("utf-8"),
        "script": "\n".join((TEMPLATES / name).read_text("utf-8") for name in _SCRIPTS),
    }


def _script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no text in it can close the element or open a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _nats(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"
