"""Speed of selection: every method and consistency mode on synthetic pools, at a budget of 10 % of the rows.

Claim: one million rows in at most 10 s in each mode, except k-center, which is quadratic. The same run compares PASER's
time and result with the loop-based reference of the tests on a small pool.

    python benchmarks/selection.py --rows 1000000 --json
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.selectors.registry import selector

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from references.pools import make_pool  # noqa: E402  (needs the tests' folder on the path)
from references.selection import paser_loop  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.schemas.selection import Pool

BUDGET = 0.1
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("paser", {}),
    ("paser", {"consistency": "strict"}),
    ("paser", {"consistency": "soft"}),
    ("paser", {"consistency": "off"}),
    ("donod", {}),
    ("donod", {"stratify": "clusters"}),
    ("anchored", {}),
    ("uniform", {}),
    ("length-matched", {}),
    ("longest", {}),
    ("high-nll", {}),
    ("ifd", {}),
    ("full", {}),
)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result of `work` and the wall and processor seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure(pool: Pool, name: str, settings: dict[str, Any], in_tokens: bool) -> dict[str, Any]:
    """Return one row of the table."""
    entry = selector(name)
    total = int((pool.n_prompt_tokens + pool.n_response_tokens).sum()) if in_tokens else len(pool)
    budget = int(BUDGET * total)
    selection, wall, cpu = timed(
        lambda: entry.select(pool, budget, in_tokens, entry.settings(**settings), np.random.default_rng(0))
    )
    return {
        "method": " ".join([name, *(str(value) for value in settings.values())]),
        "unit": "tokens" if in_tokens else "rows",
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "kept": len(selection.order),
        "refused": selection.facts.get("refused", 0),
        "filled": selection.facts.get("filled", 0),
    }


def against_loop(n: int) -> list[dict[str, Any]]:
    """Return the times of PASER and of the loop on `n` rows, and whether both keep the same rows in the same order."""
    pool = make_pool(n, seed=1, n_clusters=8, n_concepts=n // 4)
    entry, rows = selector("paser"), []
    for mode, expectation in (("expected", 3.0), ("strict", 0.0), ("soft", 3.0), ("off", 0.0)):
        settings = entry.settings(consistency=mode)
        ours, fast, _ = timed(lambda s=settings: entry.select(pool, n // 10, False, s, np.random.default_rng(0)))
        (order, _, _), slow, _ = timed(
            lambda m=mode, e=expectation: paser_loop(pool, n // 10, in_tokens=False, mode=m, expectation=e, fill=True)
        )
        same = ours.order.tolist() == order
        rows.append({"mode": mode, "seconds": fast, "loop_seconds": slow, "ratio": slow / fast, "same": same})
    return rows


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=52_000, help="rows of the pool (default 52000)")
    parser.add_argument("--loop-rows", type=int, default=400, help="rows of the loop's pool (default 400)")
    parser.add_argument("--k-center", type=int, default=0, metavar="WIDTH", help="also time k-center at this width")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    pool = make_pool(options.rows, n_clusters=40, width=options.k_center)
    reference = np.random.default_rng(0).random(options.rows) < BUDGET
    pool = replace(pool, signals={**pool.signals, "reference": reference.astype(np.float64)})
    cases = (*CASES, ("k-center", {})) if options.k_center else CASES
    table = [measure(pool, name, kwargs, in_tokens) for name, kwargs in cases for in_tokens in (False, True)]
    report = {
        "rows": options.rows,
        "concepts_per_row": len(pool.concepts[1]) / options.rows if pool.concepts else 0.0,
        "methods": table,
        "loop_rows": options.loop_rows,
        "loop": against_loop(options.loop_rows),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{options.rows} rows, budget 10 %; peak memory {report['peak_memory_mb']:.0f} MiB")
    for row in table:
        print("{method:32s} {unit:6s} {seconds:8.2f} s  kept {kept}  refused {refused}  filled {filled}".format(**row))
    print(f"compared with the loop, {options.loop_rows} rows:")
    for row in report["loop"]:
        print("{mode:10s} {seconds:8.4f} s  loop {loop_seconds:8.2f} s  {ratio:8.0f} x  same {same}".format(**row))


if __name__ == "__main__":
    main()
