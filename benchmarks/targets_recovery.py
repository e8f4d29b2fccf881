"""Recovery on the original's own answers against the corpus's, on the demo's random rows with 15 % planted noise.

    python benchmarks/targets_recovery.py [--seeds 5] [--budget 0.1] [--warehouse DIR] [--json]

Asked (docs/targets.md): with rows that have no accepted answer dropped, and as many tokens, is the mean retention
higher, its interval over seeds above 0? With the given answers as the loss (`ce`) it is, with the original's
predictions (`kl`) not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from curate import flows
from curate.flows import progress
from curate.flows.comparison.run import DEMO_RECIPE

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

LOSSES: dict[str, dict[str, Any]] = {"ce": {"teacher": "none"}, "kl": {"teacher": "original", "teacher_weight": 1.0}}
ARMS: dict[str, dict[str, Any]] = {
    "corpus": {},
    "targets, else dropped": {"keep_reference": "never"},
    "targets, else the corpus's": {"keep_reference": "on-miss"},
}
EPOCHS = 2.0


def options(root: Path, seed: int, budget: str, **recover: Any) -> Settings:
    """Return the settings of one seed."""
    return flows.settings(
        warehouse=root, seed=seed, threads=1, select={"method": "uniform", "budget": budget},
        sample={"max_new_tokens": 48}, evaluate={"tasks": ["demo"]}, recover={**DEMO_RECIPE, **recover},
    )  # fmt: skip


def retained(root: Path, seed: int, budget: str, loss: str, arm: str) -> float:
    """Train one arm and return the mean retention of its model."""
    common = {**LOSSES[loss], "epochs": EPOCHS, **ARMS[arm]}
    selection = flows.select(options(root, seed, budget))
    if ARMS[arm]:
        targets = flows.sample(options(root, seed, budget), selection.id)
        common["targets"] = targets.id
        if common["keep_reference"] == "never":
            common["epochs"] = round(EPOCHS * targets.summary()["rows"] / targets.summary()["solved"], 6)
    recovery = flows.recover(options(root, seed, budget, **common), selection.id)
    report = flows.evaluate(options(root, seed, budget), recovery.id)
    return float(report["retention"]["mean"]["value"])


def main() -> None:
    """Print mean retention, and the difference to the corpus's answers with its interval over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", default="0.1")
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    values: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary, progress.on_stderr():
        root = given.warehouse or Path(temporary)
        for seed in range(given.seeds):
            for loss in LOSSES:
                for arm in ARMS:
                    values.setdefault(f"{arm}, {loss}", []).append(retained(root, seed, given.budget, loss, arm))
    print(json.dumps(values, indent=2) if given.json else table(values))


def table(values: dict[str, list[float]]) -> str:
    """Return the table of docs/targets.md."""
    lines = ["| trained on | loss | mean retention | against the corpus's answers |", "|---|---|---:|---:|"]
    for name, kept in values.items():
        arm, _, loss = name.rpartition(", ")
        gain = np.array(kept) - np.array(values[f"corpus, {loss}"])
        half = float(stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5)
        against = (
            "" if arm == "corpus" else f"{gain.mean():+.3f} [{gain.mean() - half:+.3f}, {gain.mean() + half:+.3f}]"
        )
        lines.append(f"| {arm} | `{loss}` | {np.mean(kept):.3f} | {against} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
