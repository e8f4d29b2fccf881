"""The tables that analysts rely on: names, column order, types, and one line on what each column means.

Here stand the views over the artefacts' rows, whose types come from `curate.schemas`; the small tables stand in
`curate.storage.catalog.stored_tables`. Both are a contract: the catalog is built from them, docs/tables.md is written
from them, and tests compare all three. Knows nothing of files and connections.
"""

from __future__ import annotations

from curate.schemas.clusters import CLUSTERS, CONCEPTS, CURVE, TERMS
from curate.schemas.corpus import EXAMPLES, QUARANTINE, SOURCES
from curate.schemas.embeddings import embeddings_schema
from curate.schemas.pilots import CEILING_ABOUT, CURVES, CURVES_ABOUT, PILOTS, PILOTS_ABOUT, TAU_ABOUT
from curate.schemas.recovery_metrics import METRICS, METRICS_ABOUT
from curate.schemas.scores import IMPORTED, SCORES, UNITS
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.storage.catalog.columns import Column, View, duckdb_type
from curate.storage.catalog.columns import columns_of as _columns
from curate.storage.catalog.evaluation_views import EVALUATION_VIEWS

_CORPUS = ("corpus_id", "id of the corpus artefact")
_CLUSTERS = ("clusters_id", "id of the clusters artefact")
_PILOTS = ("pilots_id", "id of the pilots artefact")
_SELECTION = ("selection_id", "id of the selection artefact")
_EXAMPLE = {"example_id": "digest of the canonical conversation; the same text has the same id in every corpus"}

_SOURCE_ABOUT = {
    **_EXAMPLE,
    "source": "file or dataset that the row was read from",
    "row": "row in that source, counted from 1 (the line, for JSON lines)",
    "licence": "licence of the source, as stated; null where it was not",
}
SOURCES_OF = Column(
    "sources",
    'STRUCT("source" VARCHAR, "row" BIGINT, "licence" VARCHAR)[]',
    "every row that had this text, sorted",
)

ALLOCATION_ABOUT = {
    "cluster": "number of the cluster, from 0",
    "size": "examples in the cluster",
    "eligible": "examples that could be kept",
    "degradation": "mean cds of the cluster in nats, [0, ln 2], larger = more degraded",
    "budget": "what was allotted, in rows or in tokens, as the budget was given",
    "kept": "examples kept",
    "filled": "kept examples that had been refused as conflicting and were taken back to fill the budget",
    "refused": "examples left out as conflicting",
    "ceiling": f"{CEILING_ABOUT}; null unless the allocation is recoverability",
    "tau": f"{TAU_ABOUT}; null unless the allocation is recoverability",
}
"""The allocation's columns; cluster_summary has the same."""

EXAMPLES_VIEW = View(
    "examples",
    "One row per distinct conversation of a corpus.",
    "corpus",
    "part",
    (
        *_columns(
            EXAMPLES,
            _CORPUS,
            {
                **_EXAMPLE,
                "messages": "the turns, in order; role is system, user, assistant or tool",
                "tools": "JSON text of the tools that may be called; null where none",
                "prompt": "user turns joined by blank lines; what is embedded",
                "response": "assistant turns joined by blank lines; what is supervised",
                "n_turns": "number of turns, >= 1",
            },
        ),
        SOURCES_OF,
    ),
)

__all__ = ["ALLOCATION_ABOUT", "EXAMPLES_VIEW", "SOURCES_OF", "VIEWS", "Column", "View", "duckdb_type"]

VIEWS: tuple[View, ...] = (
    EXAMPLES_VIEW,
    View(
        "sources",
        "One row per usable row that was read, duplicates included.",
        "corpus",
        "sources",
        _columns(SOURCES, _CORPUS, _SOURCE_ABOUT),
    ),
    View(
        "quarantine",
        "One row per row that could not be used, and why.",
        "corpus",
        "quarantine",
        _columns(
            QUARANTINE,
            _CORPUS,
            {
                "source": "file or dataset that the row was read from",
                "row": "row in that source, counted from 1; 0 where it cannot be counted",
                "column": "column at fault; null where it is the whole row",
                "reason": "one clause for a person",
                "sample": "beginning of the row's text, at most 200 characters, safe to print",
            },
        ),
    ),
    View(
        "embeddings",
        "One unit vector per example.",
        "embeddings",
        "part",
        _columns(
            embeddings_schema(1),
            ("embeddings_id", "id of the embeddings artefact"),
            {**_EXAMPLE, "embedding": "unit vector; as many numbers as the encoder has dimensions"},
        ),
    ),
    View(
        "clusters",
        "Which cluster each example belongs to.",
        "clusters",
        "part",
        _columns(
            CLUSTERS,
            _CLUSTERS,
            {
                **_EXAMPLE,
                "cluster": "number of the cluster, from 0",
                "membership": "share of the example that lies in its cluster, [0, 1], larger = more typical",
                "map_x": "place on the map: a disc for each cluster, near ones near; no unit",
                "map_y": "the same, upwards",
                "diffusion_x": "first diffusion coordinate; no unit",
                "diffusion_y": "second diffusion coordinate; no unit",
                "concepts": "sorted ids of the concepts in the example (table concepts)",
            },
        ),
    ),
    View(
        "cluster_terms",
        "What describes each cluster.",
        "clusters",
        "terms",
        _columns(
            TERMS,
            _CLUSTERS,
            {
                "cluster": "number of the cluster, from 0",
                "size": "examples in the cluster",
                "terms": "its most telling terms, most telling first",
            },
        ),
    ),
    View(
        "cluster_curve",
        "How the number of clusters was chosen; empty where it was given.",
        "clusters",
        "curve",
        _columns(
            CURVE,
            _CLUSTERS,
            {
                "k": "number of clusters that was tried",
                "modularity": "held-out modularity, mean over the splits, [-1/2, 1], larger = better separated",
                "modularity_std": "its standard deviation over the splits, >= 0",
                "stability": "mean adjusted Rand index of the labels between splits, <= 1, larger = more stable",
            },
        ),
    ),
    View(
        "concepts",
        "The phrase behind each concept id.",
        "clusters",
        "concepts",
        _columns(CONCEPTS, _CLUSTERS, {"concept": "id of the concept, from 0", "phrase": "the phrase, lower case"}),
    ),
    View(
        "scores",
        "The signals of each example, one column a signal; null where it was not computed.",
        "scores",
        "part",
        _columns(
            SCORES,
            ("scores_id", "id of the scores artefact"),
            {
                **_EXAMPLE,
                **UNITS,
                "cds": f"damage by compression: divergence of the pair on the response; {UNITS['cds']}",
                "don": f"gain of the output head by the example; {UNITS['don']}",
                "nod": f"size of the change of the output head; {UNITS['nod']}",
                "nll_original": f"negative log-likelihood under the original model; {UNITS['nll_original']}",
                "nll_compressed": f"the same under the compressed (or only) model; {UNITS['nll_compressed']}",
                "entropy": f"mean entropy of the predictions on the response; {UNITS['entropy']}",
                "el2n": f"mean norm of the prediction error on the response; {UNITS['el2n']}",
                "ifd": f"instruction-following difficulty; {UNITS['ifd']}",
                "status": "ok, no_response_tokens or non_finite:<signal>; signals are null where it is not ok",
                "n_prompt_tokens": "tokens that are not supervised, after truncation",
                "n_response_tokens": "supervised tokens, after truncation",
                "truncated": "true where the conversation was longer than max_length",
            },
        ),
    ),
    View(
        "imported_scores",
        "Your own signals, as `curate import-scores` read them; one row per signal and example.",
        "scores",
        "imported",
        _columns(
            IMPORTED,
            ("scores_id", "id of the scores artefact"),
            {**_EXAMPLE, "signal": "name of the signal: the file's column", "value": "its value, finite"},
        ),
    ),
    View(
        "pilots",
        "What short recoveries of each cluster brought back; one row per cluster and number of rows.",
        "pilots",
        "part",
        _columns(PILOTS, _PILOTS, PILOTS_ABOUT),
    ),
    View(
        "pilot_curves",
        "The gain curve of each cluster: g(n) = ceiling · (1 − exp(−n / tau)).",
        "pilots",
        "curves",
        _columns(CURVES, _PILOTS, CURVES_ABOUT),
    ),
    View(
        "ledger",
        "What every selection decided about every example of its corpus.",
        "selection",
        "part",
        _columns(
            LEDGER,
            _SELECTION,
            {
                **_EXAMPLE,
                "kept": "true where the example was selected",
                "rank": "place among the kept examples, from 1 (taken first); null where not kept",
                "reason": "selected, budget, conflict, excluded, duplicate:<kind>, contaminated, filtered:<rule>, …",
                "related_id": "the example that it lost to, or the evaluation item that it holds; null where none",
                "cluster": "cluster of the example; null where the method uses no clusters",
                "score": "what the method ranked by, larger = taken earlier; null where it did not rank",
                "overlap": "of a near-duplicate, the Jaccard index or cosine; of a contaminated row, the share of the "
                "evaluation item's 8-grams that it holds; [0, 1]; null elsewhere",
            },
        ),
    ),
    View(
        "allocation",
        "How a selection divided its budget among the clusters; empty for methods that do not.",
        "selection",
        "allocation",
        _columns(ALLOCATION, _SELECTION, ALLOCATION_ABOUT),
    ),
    View(
        "recovery_steps",
        "How the training of each recovered model went, one row per optimiser step.",
        "recovery",
        "part",
        _columns(METRICS, ("recovery_id", "id of the recovery artefact"), METRICS_ABOUT),
    ),
    *EVALUATION_VIEWS,
)
