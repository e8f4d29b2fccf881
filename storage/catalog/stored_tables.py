"""The small tables whose rows rest in the catalog itself: what analysts find there about whole artefacts and runs.

A contract like `curate.storage.catalog.views`. Knows nothing of how the rows are found.
"""

from __future__ import annotations

from dataclasses import dataclass

from curate.schemas.selection import ALLOCATION
from curate.storage.catalog.views import ALLOCATION_ABOUT, Column, duckdb_type


@dataclass(frozen=True)
class Stored:
    """A small table whose rows rest in the catalog itself, rebuilt from manifests and run records at every publish."""

    name: str
    about: str
    columns: tuple[Column, ...]


_CREATED = Column("created", "TIMESTAMP", "when it was finished, UTC")
_SETTINGS = Column("settings", "JSON", "the settings that decided its content")
_FACTS = Column("facts", "JSON", "what the stage found out")
_WARNINGS = Column("warnings", "VARCHAR[]", "sentences for the user; empty where there was nothing to say")

CLUSTER_SUMMARY = Stored(
    "cluster_summary",
    "The clusters of each selection that divided its budget among clusters: allocation and terms in one place.",
    (
        Column("selection_id", "VARCHAR", "id of the selection artefact"),
        Column("clusters_id", "VARCHAR", "id of the clusters artefact"),
        Column("cluster", "INTEGER", ALLOCATION_ABOUT["cluster"]),
        Column("size", "BIGINT", ALLOCATION_ABOUT["size"]),
        Column("terms", "VARCHAR[]", "its most telling terms, most telling first"),
        *(
            Column(one.name, duckdb_type(one.type), ALLOCATION_ABOUT[one.name])
            for one in ALLOCATION
            if one.name not in ("cluster", "size")
        ),
    ),
)

SELECTIONS = Stored(
    "selections",
    "One row per selection.",
    (
        Column("selection_id", "VARCHAR", "id of the selection artefact"),
        Column("method", "VARCHAR", "paser, donod, anchored, uniform, …"),
        Column("budget", "VARCHAR", "the budget as it was given: 0.1, 5000, 2000000-tokens"),
        _CREATED,
        Column("corpus_id", "VARCHAR", "corpus that it chose from"),
        Column("clusters_id", "VARCHAR", "clusters that it used; null where none"),
        Column("scores_id", "VARCHAR", "scores that it used; null where none"),
        Column("n_examples", "BIGINT", "examples of the corpus, after exact merging"),
        Column("n_kept", "BIGINT", "examples kept"),
        Column("n_tokens_kept", "BIGINT", "prompt and response tokens kept; null where no tokens were counted"),
        _SETTINGS,
        _FACTS,
        _WARNINGS,
    ),
)

RECOVERIES = Stored(
    "recoveries",
    "One row per recovered model.",
    (
        Column("recovery_id", "VARCHAR", "id of the recovery artefact"),
        Column("method", "VARCHAR", "lora, mask_lora, scale_lora, perp, full"),
        _CREATED,
        Column("selection_id", "VARCHAR", "selection that it was trained on"),
        Column("model", "VARCHAR", "folder of the result"),
        Column("merged", "BOOLEAN", "true for an ordinary model folder, false where the adapter was kept separate"),
        Column("rows", "BIGINT", "rows that were trained on"),
        Column("steps", "BIGINT", "optimiser steps"),
        Column("tokens", "BIGINT", "tokens of all passes, without padding"),
        Column("trainable", "BIGINT", "numbers that were trained"),
        Column("trainable_share", "DOUBLE", "their share of the model's parameters, > 0"),
        Column("sparsity_before", "DOUBLE", "share of zeros in the linear layers, [0, 1]"),
        Column("sparsity_after", "DOUBLE", "the same of the result"),
        Column("perplexity_before", "DOUBLE", "on held-out rows, >= 1, smaller = better; null where there were none"),
        Column("perplexity_after", "DOUBLE", "the same of the result"),
        Column("seconds", "DOUBLE", "wall time of the job, both perplexities included"),
        _SETTINGS,
        _FACTS,
        _WARNINGS,
    ),
)

EVALUATIONS = Stored(
    "evaluations",
    "One row per evaluation of a model.",
    (
        Column("evaluation_id", "VARCHAR", "id of the evaluation artefact"),
        Column("model", "VARCHAR", "folder or name of the model that was asked"),
        Column("n_items", "BIGINT", "items that it was asked"),
        _CREATED,
        Column("recovery_id", "VARCHAR", "recovered model that was evaluated; null where it was another"),
        Column("selection_id", "VARCHAR", "selection that it was trained on; null where none"),
        _SETTINGS,
        _FACTS,
        _WARNINGS,
    ),
)

RUNS = Stored(
    "runs",
    "One row per command or flow that was run.",
    (
        Column("run_id", "VARCHAR", "id of the run; sorts by time"),
        Column("command", "VARCHAR", "what was run"),
        Column("status", "VARCHAR", "running, finished, failed or interrupted, when the catalog was published"),
        Column("started", "TIMESTAMP", "UTC"),
        Column("finished", "TIMESTAMP", "UTC; null while it runs and where it was killed"),
        Column("seconds", "DOUBLE", "wall time in seconds; null where finished is"),
        Column("artefacts", "VARCHAR[]", "noun/id of every artefact that it made or found done"),
        Column("error", "VARCHAR", "the sentence that the user saw; null where it did not fail"),
        Column("settings", "JSON", "the resolved settings"),
        Column("host", "VARCHAR", "machine that it ran on"),
    ),
)

LINEAGE = Stored(
    "lineage",
    "What every artefact was made from.",
    (
        Column("noun", "VARCHAR", "corpus, embeddings, clusters, scores, pilots, selection, recovery or evaluation"),
        Column("artefact_id", "VARCHAR", "id of the artefact"),
        Column("role", "VARCHAR", "what the input was to it: corpus, original, compressed, encoder, …"),
        Column("input_id", "VARCHAR", "id of the artefact that was read, or digest of the file or model"),
    ),
)

STORED: tuple[Stored, ...] = (CLUSTER_SUMMARY, SELECTIONS, RECOVERIES, EVALUATIONS, RUNS, LINEAGE)
