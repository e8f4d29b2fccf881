"""Definitions of the tables that the catalog stores itself: one row per selection, recovery, evaluation, run or input.

Names, column order and types are a contract, as in `curate.storage.catalog.views`; `table_rows` builds the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from curate.schemas.selection import ALLOCATION
from curate.storage.catalog.views import ALLOCATION_ABOUT, Column, duckdb_type


@dataclass(frozen=True)
class StoredTable:
    """A small table inside ``catalog.duckdb``, made from manifests and run records."""

    name: str
    about: str
    columns: tuple[Column, ...]


_CREATED = Column("created", "TIMESTAMP", "time when the artefact was finished, UTC")
_SEQUENCE = Column("sequence", "BIGINT", "place in the order in which artefacts were finished; 0 in version 0.1.0")
_SETTINGS = Column("settings", "JSON", "settings that determine its content")
_FACTS = Column("facts", "JSON", "counts and other results of the stage")
_WARNINGS = Column("warnings", "VARCHAR[]", "warnings shown to the user; empty if there were none")

CLUSTER_SUMMARY = StoredTable(
    "cluster_summary",
    "Allocation and terms of each cluster, for selections that divide their budget among clusters.",
    (
        Column("selection_id", "VARCHAR", "id of the selection artefact"),
        Column("clusters_id", "VARCHAR", "id of the clusters artefact"),
        Column("cluster", "INTEGER", ALLOCATION_ABOUT["cluster"]),
        Column("size", "BIGINT", ALLOCATION_ABOUT["size"]),
        Column("terms", "VARCHAR[]", "terms that characterise the cluster, most characteristic first"),
        *(
            Column(one.name, duckdb_type(one.type), ALLOCATION_ABOUT[one.name])
            for one in ALLOCATION
            if one.name not in ("cluster", "size")
        ),
    ),
)

LEDGER_SUMMARY = StoredTable(
    "ledger_summary",
    "Number of examples of each selection by reason; a count over all ledgers that reads none of them.",
    (
        Column("selection_id", "VARCHAR", "id of the selection artefact"),
        Column("reason", "VARCHAR", "reason in the ledger: selected, budget, conflict, …"),
        Column("examples", "BIGINT", "examples of the ledger with that reason"),
    ),
)

SELECTIONS = StoredTable(
    "selections",
    "One row per selection.",
    (
        Column("selection_id", "VARCHAR", "id of the selection artefact"),
        Column("method", "VARCHAR", "paser, donod, anchored, uniform, …"),
        Column("budget", "VARCHAR", "budget as requested: 0.1, 5000, 2000000-tokens"),
        _CREATED,
        Column("corpus_id", "VARCHAR", "id of the corpus that was selected from"),
        Column("clusters_id", "VARCHAR", "id of the clusters used; null if none"),
        Column("scores_id", "VARCHAR", "id of the scores used; null if none"),
        Column("n_examples", "BIGINT", "examples in the corpus, exact duplicates merged"),
        Column("n_kept", "BIGINT", "examples kept"),
        Column("n_tokens_kept", "BIGINT", "prompt and response tokens kept; null if tokens were not counted"),
        _SETTINGS,
        _FACTS,
        _WARNINGS,
        _SEQUENCE,
    ),
)

RECOVERIES = StoredTable(
    "recoveries",
    "One row per recovered model.",
    (
        Column("recovery_id", "VARCHAR", "id of the recovery artefact"),
        Column("method", "VARCHAR", "lora, mask_lora, scale_lora, perp, full"),
        _CREATED,
        Column("selection_id", "VARCHAR", "id of the selection used for training"),
        Column("model", "VARCHAR", "folder of the recovered model"),
        Column("merged", "BOOLEAN", "true for a plain model folder, false if the adapter is stored separately"),
        Column("rows", "BIGINT", "training rows"),
        Column("steps", "BIGINT", "optimiser steps"),
        Column("tokens", "BIGINT", "training tokens over all epochs, without padding"),
        Column("trainable", "BIGINT", "number of trained parameters"),
        Column("trainable_share", "DOUBLE", "trained parameters as a share of the model's parameters, > 0"),
        Column("sparsity_before", "DOUBLE", "share of zeros in the linear layers of the compressed model, [0, 1]"),
        Column("sparsity_after", "DOUBLE", "share of zeros in the linear layers of the recovered model, [0, 1]"),
        Column(
            "perplexity_before",
            "DOUBLE",
            "perplexity of the compressed model on held-out rows, >= 1, smaller = better; null without held-out rows",
        ),
        Column("perplexity_after", "DOUBLE", "perplexity of the recovered model on the same rows"),
        Column("seconds", "DOUBLE", "wall time of the job in seconds, measuring both perplexities included"),
        _SETTINGS,
        _FACTS,
        _WARNINGS,
        _SEQUENCE,
    ),
)

EVALUATIONS = StoredTable(
    "evaluations",
    "One row per evaluation of a model.",
    (
        Column("evaluation_id", "VARCHAR", "id of the evaluation artefact"),
        Column("model", "VARCHAR", "folder or name of the evaluated model"),
        Column("n_items", "BIGINT", "number of evaluation items"),
        _CREATED,
        Column("recovery_id", "VARCHAR", "id of the recovery that produced the model; null for other models"),
        Column("selection_id", "VARCHAR", "id of the selection that the model was trained on; null if none"),
        _SETTINGS,
        _FACTS,
        _WARNINGS,
        _SEQUENCE,
    ),
)

RUNS = StoredTable(
    "runs",
    "One row per run of a command or flow.",
    (
        Column("run_id", "VARCHAR", "id of the run; sorts by time"),
        Column("command", "VARCHAR", "command or flow"),
        Column("status", "VARCHAR", "running, finished, failed or interrupted, as of the publishing of the catalog"),
        Column("started", "TIMESTAMP", "UTC"),
        Column("finished", "TIMESTAMP", "UTC; null while it runs and if it was killed"),
        Column("seconds", "DOUBLE", "wall time in seconds; null where finished is null"),
        Column("artefacts", "VARCHAR[]", "noun/id of every artefact that it built or reused"),
        Column("error", "VARCHAR", "error message shown to the user; null if it did not fail"),
        Column("settings", "JSON", "resolved settings"),
        Column("host", "VARCHAR", "host name"),
    ),
)

LINEAGE = StoredTable(
    "lineage",
    "Inputs of every artefact, one row per input.",
    (
        Column(
            "noun",
            "VARCHAR",
            "corpus, tokens, embeddings, clusters, scores, pilots, selection, targets, recovery, evaluation or "
            "diagnosis",
        ),
        Column("artefact_id", "VARCHAR", "id of the artefact"),
        Column("role", "VARCHAR", "role of the input: corpus, original, compressed, encoder, …"),
        Column("input_id", "VARCHAR", "id of the input artefact, or digest of the file or model"),
    ),
)

STORED: tuple[StoredTable, ...] = (CLUSTER_SUMMARY, LEDGER_SUMMARY, SELECTIONS, RECOVERIES, EVALUATIONS, RUNS, LINEAGE)
