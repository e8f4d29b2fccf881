"""Values of the report's sections, as plain Python values for the template."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.storage.report import samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.schemas.artefacts import Manifest
    from curate.storage.report.contents import Contents

CLUSTERS_SHOWN = 60


def row_counts(corpus: Manifest) -> dict[str, int]:
    """Return the numbers of source rows read, merged as duplicates and quarantined."""
    usable, quarantined = corpus.rows("sources"), corpus.rows("quarantine")
    return {"all": usable + quarantined, "duplicates": usable - corpus.rows(), "quarantined": quarantined}


def gain(contents: Contents) -> tuple[float, float] | None:
    """Return the mean damage of all rows and of the kept ones, in nats; None without a model pair."""
    damage = contents.signals.get("cds")
    if damage is None or not np.isfinite(damage[contents.kept]).any():
        return None
    return float(np.nanmean(damage)), float(np.nanmean(damage[contents.kept]))


def clusters(
    contents: Contents, names: dict[int, str], text: dict[int, dict[str, Any]], examples: dict[int, list[int]]
) -> list[dict[str, Any]]:
    """Return the first clusters with their name, example prompts, shares, and widths of bars in percent."""
    rows = contents.clusters
    size = max(sum(row["size"] for row in rows), 1)
    kept = max(sum(row["kept"] for row in rows), 1)
    worst = max((row["degradation"] or 0.0 for row in rows), default=0.0) or 1.0
    widest = max((max(row["size"] / size, row["kept"] / kept) for row in rows), default=0.0) or 1.0
    return [
        {
            **row,
            "name": names[row["cluster"]],
            "examples": [samples.shortened(text[one]["prompt"], samples.BRIEF) for one in examples[row["cluster"]]],
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


def reasons(contents: Contents, meaning: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return every reason with its number of rows, the width of its bar in percent, and its meaning."""
    counts = Counter(str(reason) for reason in contents.reason)
    most = max(counts.values(), default=1)
    return [
        {"reason": reason, "count": count, "width": round(100 * count / most, 2), "meaning": meaning(reason)}
        for reason, count in sorted(counts.items(), key=lambda item: (item[0] != "selected", -item[1], item[0]))
    ]


def sample(
    contents: Contents, row: int, text: dict[int, dict[str, Any]], names: dict[int, str], others: dict[str, int]
) -> dict[str, Any]:
    """Return one example row; `names` are those of the clusters, `others` the rows that an id stands for."""
    related = contents.related[row]
    cluster = None if contents.cluster is None else int(contents.cluster[row])
    return {
        "id": str(contents.example_id[row]),
        "kept": bool(contents.kept[row]),
        "reason": str(contents.reason[row]),
        "rank": int(contents.rank[row]),
        "cluster": cluster,
        "name": names.get(cluster, "") if cluster is not None else "",
        "turns": [(turn["role"], samples.shortened(turn["content"], samples.SHOWN)) for turn in text[row]["messages"]],
        "scores": [
            (name, _four(contents.signals[name][row]))
            for name in ("cds", "don", "nod")
            if name in contents.signals and np.isfinite(contents.signals[name][row])
        ],
        "lost_to": (str(related), samples.shortened(text[others[str(related)]]["prompt"], samples.BRIEF))
        if str(related) in others
        else None,
    }


def lineage_step(manifest: Manifest) -> dict[str, Any]:
    """Return what the lineage says about one artefact."""
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


def _four(value: float) -> str:
    return f"{value:.4g}"
