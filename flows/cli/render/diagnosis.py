"""Printing of `curate diagnose`."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json

SHOWN_EXPERTS = 4
"""Most used experts of a router that are printed; --json has them all."""


def layers(report: dict[str, Any], as_json: bool) -> None:
    """Print the measures of every layer, and how well they agree with the loss without it."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(_measured_on(report))
    names = list(report["layers"][0])
    out.print(grid([name.replace("_", " ") for name in names], [list(layer.values()) for layer in report["layers"]]))
    out.print("larger = the layer matters more" + (", or is damaged more" if report["original"] else ""))
    for name, value in report["spearman"].items():
        out.print(f"rank correlation of {name.replace('_', ' ')} with the loss without a layer: {value:.2f}")
    if report["picture"]:
        out.print(f"picture   {report['picture']}", soft_wrap=True)


def experts(report: dict[str, Any], as_json: bool) -> None:
    """Print the effective number of experts of every router, and those that are used most."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(_measured_on(report))
    names = ["cluster"] * ("clusters" in report) + ["layer", "block", "experts", "effective", "unused", "used most"]
    out.print(grid(names, [_router(router)[-len(names) :] for router in report["routers"]], wide="used most"))
    out.print("effective = experts that would have this entropy if used equally; used most: expert, share of choices")
    if report["shared_experts"]:
        out.print("every token also uses a shared expert, which is not counted and which compress never removes")


def _measured_on(report: dict[str, Any]) -> str:
    return (
        f"Diagnosis {report['diagnosis_id']} of {report['model']}: {report['rows']:,} rows, {report['tokens']:,} tokens"
    )


def _router(router: dict[str, Any]) -> list[Any]:
    by_usage = sorted(router["experts"], key=lambda expert: -expert["usage"])
    most = ", ".join(f"{one['expert']}: {one['usage']:.0%}" for one in by_usage[:SHOWN_EXPERTS])
    unused = sum(expert["usage"] == 0 for expert in by_usage)
    cells = [router[name] for name in ("cluster", "layer", "block")]
    return [*cells, len(by_usage), router["effective"], unused, most]


def wordings(report: dict[str, Any], as_json: bool) -> None:
    """Print the score under every wording, the spreads, and whether the damage is above them."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(f"Diagnosis {report['diagnosis_id']} of {report['model']} (experimental): {report['items']:,} items")
    names = ["influence", "score", *(["score_original"] if report["original"] else []), "prompt"]
    rows = [[one.get(name) for name in names] for one in report["wordings"]]
    out.print(grid([name.replace("_", " ") for name in names], rows))
    out.print(f"spread over wordings: {report['spread']:.3f}" + _beside(report))
    if report["original"]:
        damage = report["damage"]
        out.print(
            f"damage (original − model, mean of the wordings): {damage['value']:.3f}, over items "
            f"[{damage['low']:.3f}, {damage['high']:.3f}]: {_verdict(report)}",
            soft_wrap=True,
        )
    if "search" in report:
        _print_search(report["search"], report["wordings"])


def _verdict(report: dict[str, Any]) -> str:
    """Return whether the damage is above the spread, and whether other items could have shown none."""
    if not report["above"]:
        return "not above the spread"
    sure = report["damage"]["low"] > 0
    return "above the spread" + ("" if sure else ", but the interval includes 0: use more items")


def _beside(report: dict[str, Any]) -> str:
    return f", of the original {report['spread_original']:.3f}" if report["original"] else ""


def _print_search(search: dict[str, Any], wordings: list[dict[str, Any]]) -> None:
    """Print what a search for a wording found on the other half of the items."""
    best = " / ".join(wordings[place]["prompt"] for place in search["best"]) or "no wording at all"
    console().print(
        f"best of {search['calls']:,} passes over {search['items']:,} other items (a full search takes "
        f"{search['full_search']:,}): {best}; score here {search['score']:.3f}, of the best of as many random "
        f"sequences {search['score_random']:.3f}, of the first wording {search['score_first']:.3f}",
        soft_wrap=True,
    )


def paths(report: dict[str, Any], as_json: bool) -> None:
    """Print what paths do on the items held out, and what the search of the other items could do at most."""
    if as_json:
        print_json(report)
        return
    out, searched, held = console(), report["searched"], report["held_out"]
    out.print(f"Diagnosis {report['diagnosis_id']} of {report['model']} (experimental): {report['layers']} layers")
    rows = [[one[name] for name in ("path", "layers", "votes", "accuracy", "accuracy_random")] for one in held["paths"]]
    rows.append(["all layers", report["layers"], None, held["accuracy_full"], None])
    out.print(grid(["path", "layers", "right in the search", "held out", "random paths, held out"], rows))
    out.print(f"held out: {held['items']:,} items that no path was searched for", soft_wrap=True)
    out.print(
        f"of the {searched['items']:,} others all layers answer {searched['full_right']:,} rightly, and some path "
        f"{searched['best_right']:,}, searched with the answer known: an upper bound, not a score of the model",
        soft_wrap=True,
    )
