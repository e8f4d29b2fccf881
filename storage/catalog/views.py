"""Definitions of the catalog's views over artefact rows: names, column order, types and descriptions.

Types come from `curate.schemas`; the stored tables are in `curate.storage.catalog.stored_tables`. Both are a contract:
the catalog is built from them, docs/tables.md is generated from them, and tests compare all three.
"""

from __future__ import annotations

from curate.schemas.clusters import CLUSTERS, CONCEPTS, CURVE, TERMS
from curate.schemas.diagnosis import DIAGNOSES, DIAGNOSES_ABOUT
from curate.schemas.embeddings import embeddings_schema
from curate.schemas.pilots import CEILING_ABOUT, CURVES, CURVES_ABOUT, PILOTS, PILOTS_ABOUT, TAU_ABOUT
from curate.schemas.recovery_metrics import METRICS, METRICS_ABOUT
from curate.schemas.scores import IMPORTED, SCORES, UNITS
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.schemas.targets import TARGETS, TARGETS_ABOUT, TARGETS_SUMMARY, TARGETS_SUMMARY_ABOUT
from curate.schemas.token_counts import TOKEN_COUNTS, TOKEN_COUNTS_ABOUT
from curate.storage.catalog.columns import Column, View, duckdb_type
from curate.storage.catalog.columns import columns_of as _columns
from curate.storage.catalog.corpus_views import CORPUS_VIEWS, EXAMPLE_ABOUT
from curate.storage.catalog.evaluation_views import EVALUATION_VIEWS

_CLUSTERS = ("clusters_id", "id of the clusters artefact")
_PILOTS = ("pilots_id", "id of the pilots artefact")
_SELECTION = ("selection_id", "id of the selection artefact")
_TARGETS = ("targets_id", "id of the targets artefact")

ALLOCATION_ABOUT = {
    "cluster": "number of the cluster, from 0; of the group, if the budget was divided among groups",
    "size": "examples in the cluster",
    "eligible": "examples of the cluster that the method may keep",
    "degradation": "mean cds of its eligible examples in nats, [0, ln 2], larger = more degraded",
    "budget": "share of the budget that the cluster gets, in the unit of the budget (rows or tokens)",
    "kept": "examples kept",
    "filled": "kept examples that were first refused as conflicting, then used to fill the budget",
    "refused": "examples left out as conflicting",
    "ceiling": f"{CEILING_ABOUT}; null unless the allocation is recoverability",
    "tau": f"{TAU_ABOUT}; null unless the allocation is recoverability",
    "group": "source or group that the row is about; null if it is a cluster",
}
"""Descriptions of the columns of allocation; cluster_summary has them too."""

__all__ = ["ALLOCATION_ABOUT", "VIEWS", "Column", "View", "duckdb_type"]

VIEWS: tuple[View, ...] = (
    *CORPUS_VIEWS,
    View(
        "token_counts",
        "Tokens of each example for a model, counted for methods that read no scores.",
        "tokens",
        "part",
        _columns(TOKEN_COUNTS, ("tokens_id", "id of the tokens artefact"), {**EXAMPLE_ABOUT, **TOKEN_COUNTS_ABOUT}),
    ),
    View(
        "embeddings",
        "One unit vector per example.",
        "embeddings",
        "part",
        _columns(
            embeddings_schema(1),
            ("embeddings_id", "id of the embeddings artefact"),
            {**EXAMPLE_ABOUT, "embedding": "unit vector with the encoder's number of dimensions"},
        ),
    ),
    View(
        "clusters",
        "Cluster, map coordinates and concepts of each example.",
        "clusters",
        "part",
        _columns(
            CLUSTERS,
            _CLUSTERS,
            {
                **EXAMPLE_ABOUT,
                "cluster": "number of the cluster, from 0",
                "membership": "degree of membership in that cluster, [0, 1], larger = more typical",
                "map_x": "horizontal map coordinate; clusters are discs, similar clusters are close; no unit",
                "map_y": "vertical map coordinate; no unit",
                "diffusion_x": "first diffusion coordinate; no unit",
                "diffusion_y": "second diffusion coordinate; no unit",
                "concepts": "sorted ids of the concepts in the example (table concepts)",
            },
        ),
    ),
    View(
        "cluster_terms",
        "Size and characteristic terms of each cluster.",
        "clusters",
        "terms",
        _columns(
            TERMS,
            _CLUSTERS,
            {
                "cluster": "number of the cluster, from 0",
                "size": "examples in the cluster",
                "terms": "terms that characterise the cluster, most characteristic first",
            },
        ),
    ),
    View(
        "cluster_curve",
        "Search for the number of clusters, one row per number tried; empty if the number was given.",
        "clusters",
        "curve",
        _columns(
            CURVE,
            _CLUSTERS,
            {
                "k": "number of clusters tried",
                "modularity": "held-out modularity, mean over the splits, [-1/2, 1], larger = better separated",
                "modularity_std": "its standard deviation over the splits, >= 0",
                "stability": "mean adjusted Rand index of the labels between splits, <= 1, larger = more stable",
                "silhouette": "mean silhouette of the rows, [-1, 1], larger = better separated; the number with the "
                "largest modularity + 1.5 · silhouette is taken; null in clusters of version 3: the largest modularity",
            },
        ),
    ),
    View(
        "concepts",
        "Phrase of each concept id.",
        "clusters",
        "concepts",
        _columns(CONCEPTS, _CLUSTERS, {"concept": "id of the concept, from 0", "phrase": "phrase in lower case"}),
    ),
    View(
        "scores",
        "Signals of each example, one column per signal; null where a signal was not computed.",
        "scores",
        "part",
        _columns(
            SCORES,
            ("scores_id", "id of the scores artefact"),
            {
                **EXAMPLE_ABOUT,
                **UNITS,
                "cds": f"damage by compression: divergence of the pair on the response; {UNITS['cds']}",
                "don": f"change of the norm of the output head by one step on the example; {UNITS['don']}",
                "nod": f"norm of the change of the output head by that step; {UNITS['nod']}",
                "nll_original": f"negative log-likelihood under the original model; {UNITS['nll_original']}",
                "nll_compressed": "negative log-likelihood under the compressed (or only) model; "
                f"{UNITS['nll_compressed']}",
                "entropy": f"mean entropy of the predictions on the response; {UNITS['entropy']}",
                "el2n": f"mean norm of the prediction error on the response; {UNITS['el2n']}",
                "ifd": f"instruction-following difficulty; {UNITS['ifd']}",
                "positive_excess": "mean over tokens of max(0, nll_compressed - nll_original); "
                f"{UNITS['positive_excess']}",
                "unlikely_share": f"tokens with an nll above 4 nats under the original; {UNITS['unlikely_share']}",
                "status": "ok, no_response_tokens or non_finite:<signal>; signals are null unless ok",
                **{name: TOKEN_COUNTS_ABOUT[name] for name in ("n_prompt_tokens", "n_response_tokens", "truncated")},
            },
        ),
    ),
    View(
        "imported_scores",
        "User-supplied signals from `curate import-scores`, one row per signal and example.",
        "scores",
        "imported",
        _columns(
            IMPORTED,
            ("scores_id", "id of the scores artefact"),
            {**EXAMPLE_ABOUT, "signal": "name of the signal, the file's column", "value": "value, finite"},
        ),
    ),
    View(
        "pilots",
        "Held-out losses of short pilot recoveries, one row per cluster and number of training rows.",
        "pilots",
        "part",
        _columns(PILOTS, _PILOTS, PILOTS_ABOUT),
    ),
    View(
        "pilot_curves",
        "Fitted gain curve of each cluster: g(n) = ceiling · (1 − exp(−n / tau)).",
        "pilots",
        "curves",
        _columns(CURVES, _PILOTS, CURVES_ABOUT),
    ),
    View(
        "diagnoses",
        "Measures of a model's layers, of its experts, or of its answers, one row per part and metric.",
        "diagnosis",
        "part",
        _columns(DIAGNOSES, ("diagnosis_id", "id of the diagnosis artefact"), DIAGNOSES_ABOUT),
    ),
    View(
        "ledger",
        "Decision of each selection about every example of its corpus.",
        "selection",
        "part",
        _columns(
            LEDGER,
            _SELECTION,
            {
                **EXAMPLE_ABOUT,
                "kept": "true if the example was selected",
                "rank": "rank among the kept examples, from 1 (best); null if not kept",
                "reason": "selected, budget, conflict, excluded, duplicate:<kind>, contaminated, filtered:<rule>, …",
                "related_id": "example that was preferred, or evaluation item that the row contains; null if none",
                "cluster": "cluster of the example; null if the method uses no clusters",
                "score": "ranking score of the method, larger = selected earlier; null if it does not rank",
                "overlap": "for a near-duplicate, the Jaccard index or cosine; for a contaminated row, the share of "
                "the evaluation item's 8-grams that it contains; [0, 1]; null for other rows",
                "group": "source or group whose budget the example competes for; null if that is a cluster's",
            },
        ),
    ),
    View(
        "allocation",
        "Division of a selection's budget among clusters; empty for methods that do not divide it.",
        "selection",
        "allocation",
        _columns(ALLOCATION, _SELECTION, ALLOCATION_ABOUT),
    ),
    View(
        "targets",
        "Answers that a model gave to the rows of a selection, one row per drawn sample.",
        "targets",
        "part",
        _columns(TARGETS, _TARGETS, {**EXAMPLE_ABOUT, **TARGETS_ABOUT}),
    ),
    View(
        "targets_summary",
        "Samples drawn for each row of a selection, and which was accepted.",
        "targets",
        "summary",
        _columns(TARGETS_SUMMARY, _TARGETS, {**EXAMPLE_ABOUT, **TARGETS_SUMMARY_ABOUT}),
    ),
    View(
        "recovery_steps",
        "Training metrics of each recovery, one row per optimiser step.",
        "recovery",
        "part",
        _columns(METRICS, ("recovery_id", "id of the recovery artefact"), METRICS_ABOUT),
    ),
    *EVALUATION_VIEWS,
)
