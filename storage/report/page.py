"""Writes the report of a selection: one self-contained HTML file whose content security policy forbids all requests."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from curate.storage.report import samples
from curate.storage.report.contents import Contents, read_contents
from curate.storage.report.distributions import HEIGHT, WIDTH, distributions
from curate.storage.report.points import corpus_map, plane
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.schemas.artefacts import Manifest
    from curate.storage.warehouse.warehouse import Warehouse

TEMPLATES = Path(__file__).with_name("templates")
CLUSTERS_SHOWN = 60
_SCRIPTS = ("colours.js", "map.js", "plane.js", "table.js")


def write_report(warehouse: Warehouse, selection_id: str, path: Path, meaning: Callable[[str], str]) -> None:
    """Write the report of a selection to one HTML file.

    Parameters
    ----------
    selection_id : str
        Its full id.
    path : Path
        The file; replaced atomically if it exists.
    meaning : callable
        Returns the explanation of a ledger reason, one clause, or an empty string.

    Raises
    ------
    WarehouseError
        If an artefact is missing or damaged, or the file cannot be written.
    """
    contents = read_contents(warehouse, selection_id)
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, render(page(warehouse, contents, meaning)).encode("utf-8", "replace"))


def render(values: dict[str, Any]) -> str:
    """Return the HTML for the values of `page`; all texts in them are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"count": _count, "short": _short, "percent": _percent, "hue": hue}
    return environment.get_template("report.html").render(values)


def page(warehouse: Warehouse, contents: Contents, meaning: Callable[[str], str]) -> dict[str, Any]:
    """Return the values of the template, as plain Python values."""
    selection = contents.selection
    listed = samples.table_rows(contents)
    sample_groups = samples.sample_groups(contents)
    related_ids = {str(name) for _, _, rows in sample_groups for row in rows if (name := contents.related[row])}
    is_related = np.isin(contents.example_id, [*related_ids]) & ~contents.forgotten
    others = {str(contents.example_id[row]): int(row) for row in np.flatnonzero(is_related)}
    text = samples.texts(
        warehouse, contents, {*listed, *(row for _, _, rows in sample_groups for row in rows), *others.values()}
    )
    map_data, plane_data = corpus_map(contents), plane(contents)
    names = {row["cluster"]: ", ".join(row["terms"][:5]) for row in contents.clusters}
    return {
        "id": selection.id,
        "method": selection.settings["method"],
        "budget": selection.settings["budget"],
        "facts": selection.facts,
        "n": len(contents),
        "n_kept": int(contents.kept.sum()),
        "read": _row_counts(contents.upstream["corpus"]),
        "gain": _gain(contents),
        "clusters": _clusters(contents),
        "n_clusters": len(contents.clusters),
        "groups": "group" if any(row.get("group") is not None for row in contents.clusters) else "cluster",
        "map": map_data,
        "plane": plane_data,
        "distributions": distributions(contents),
        "drawing": (WIDTH, HEIGHT),
        "reasons": _reasons(contents, meaning),
        "quarantine": contents.quarantine,
        "kinds": [
            (
                title,
                about or meaning(title.partition(": ")[2]),
                [_sample(contents, row, text, names, others) for row in rows],
            )
            for title, about, rows in sample_groups
        ],
        "sources": contents.sources,
        "lineage": [_lineage_step(one) for one in (*contents.upstream.values(), selection)],
        "settings": json.dumps(selection.settings, indent=2, ensure_ascii=False, sort_keys=True),
        "versions": selection.versions,
        "listed": len(listed),
        "data": _script_json(
            {
                "map": map_data,
                "plane": plane_data,
                "clusters": {row["cluster"]: ", ".join(row["terms"][:5]) for row in contents.clusters},
                "rows": [_listed(contents, row, text[row]) for row in listed],
            }
        ),
        "style": (TEMPLATES / "style.css").read_text("utf-8"),
        "script": "\n".join((TEMPLATES / name).read_text("utf-8") for name in _SCRIPTS),
    }


def hue(cluster: int) -> float:
    """Return a cluster's hue in degrees; `clusterColour` in colours.js computes the same."""
    # Steps of the golden angle give consecutive clusters hues that are far apart.
    return round(cluster * 137.508 % 360, 1)


def _row_counts(corpus: Manifest) -> dict[str, int]:
    """Return the numbers of source rows read, merged as duplicates and quarantined."""
    usable, quarantined = corpus.rows("sources"), corpus.rows("quarantine")
    return {"all": usable + quarantined, "duplicates": usable - corpus.rows(), "quarantined": quarantined}


def _gain(contents: Contents) -> tuple[float, float] | None:
    """Return the mean damage of all rows and of the kept ones, in nats; None without a model pair."""
    damage = contents.signals.get("cds")
    if damage is None or not np.isfinite(damage[contents.kept]).any():
        return None
    return float(np.nanmean(damage)), float(np.nanmean(damage[contents.kept]))


def _clusters(contents: Contents) -> list[dict[str, Any]]:
    rows = contents.clusters
    size = max(sum(row["size"] for row in rows), 1)
    kept = max(sum(row["kept"] for row in rows), 1)
    worst = max((row["degradation"] or 0.0 for row in rows), default=0.0) or 1.0
    widest = max((max(row["size"] / size, row["kept"] / kept) for row in rows), default=0.0) or 1.0
    return [
        {
            **row,
            "damage_width": round(100 * (row["degradation"] or 0.0) / worst, 2),
            # Width of the colour gradient relative to the bar: every bar shows the gradient up to its own value.
            "damage_whole": round(100 * worst / max(row["degradation"] or 0.0, worst / 100), 2),
            "corpus_share": row["size"] / size,
            "kept_share": row["kept"] / kept,
            "corpus_width": round(100 * row["size"] / size / widest, 2),
            "kept_width": round(100 * row["kept"] / kept / widest, 2),
        }
        for row in rows[:CLUSTERS_SHOWN]
    ]


def _reasons(contents: Contents, meaning: Callable[[str], str]) -> list[dict[str, Any]]:
    counts = Counter(str(reason) for reason in contents.reason)
    most = max(counts.values(), default=1)
    return [
        {"reason": reason, "count": count, "width": round(100 * count / most, 2), "meaning": meaning(reason)}
        for reason, count in sorted(counts.items(), key=lambda item: (item[0] != "selected", -item[1], item[0]))
    ]


def _sample(
    contents: Contents, row: int, text: dict[int, dict[str, Any]], names: dict[int, str], others: dict[str, int]
) -> dict[str, Any]:
    related = contents.related[row]
    cluster = None if contents.cluster is None else int(contents.cluster[row])
    return {
        "id": str(contents.example_id[row]),
        "kept": bool(contents.kept[row]),
        "reason": str(contents.reason[row]),
        "rank": int(contents.rank[row]),
        "cluster": cluster,
        "terms": names.get(cluster, "") if cluster is not None else "",
        "turns": [(turn["role"], samples.shortened(turn["content"], samples.SHOWN)) for turn in text[row]["messages"]],
        "scores": [
            (name, _four(contents.signals[name][row]))
            for name in ("cds", "don", "nod")
            if name in contents.signals and np.isfinite(contents.signals[name][row])
        ],
        "lost_to": (str(related), samples.shortened(text[others[str(related)]]["prompt"], samples.IN_TABLE))
        if str(related) in others
        else None,
    }


def _listed(contents: Contents, row: int, text: dict[str, Any]) -> list[Any]:
    """Return one row of the searchable table, in the order of its columns."""
    damage = contents.signals.get("cds")
    return [
        str(contents.example_id[row]),
        int(contents.rank[row]) or None,
        str(contents.reason[row]),
        None if contents.cluster is None else int(contents.cluster[row]),
        None if damage is None or not np.isfinite(damage[row]) else round(float(damage[row]), 4),
        samples.shortened(text["prompt"], samples.IN_TABLE),
        samples.shortened(text["response"], samples.IN_TABLE),
    ]


def _lineage_step(manifest: Manifest) -> dict[str, Any]:
    return {
        "noun": manifest.noun,
        "id": manifest.id,
        "rows": manifest.rows(),
        "created": manifest.created[:16].replace("T", " "),
        "seconds": manifest.seconds,
        "memory": manifest.peak_memory_mb,
        "inputs": manifest.inputs,
        "models": {role: name for role, name in (manifest.facts.get("models") or {}).items() if name},
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


def _four(value: float) -> str:
    return f"{value:.4g}"
