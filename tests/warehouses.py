"""Small warehouses of made-up rows with the real schemas. Importable by child processes, hence not a test file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.schemas.artefacts import Noun, artefact_id
from curate.schemas.clusters import CLUSTERS, CONCEPTS, CURVE, TERMS
from curate.schemas.corpus import EXAMPLES, QUARANTINE, SOURCES, Turn, example_id
from curate.schemas.embeddings import embeddings_schema
from curate.schemas.recovery_metrics import METRICS
from curate.schemas.scores import SCORES
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

ROWS, PART_ROWS, CLUSTERS_MADE = 60, 25, 3
LAYOUT = {"rows_per_part": PART_ROWS}

Tables = dict[str, tuple[list[dict[str, Any]], pa.Schema]]


def make(
    warehouse: Warehouse, noun: Noun, inputs: dict[str, str], settings: dict[str, Any], tables: Any, **facts: Any
) -> str:
    """Build one artefact from rows, unless it exists; `tables` may be a function of the artefact's id."""
    built_id = artefact_id(noun, 1, inputs, settings)
    content: Tables = tables(built_id) if callable(tables) else tables
    with warehouse.build(noun, built_id, 1, inputs, settings, LAYOUT) as builder:
        if not builder.done:
            for table, (rows, schema) in content.items():
                for index in range(builder.finished(table), max(1, -(-len(rows) // PART_ROWS))):
                    part = rows[index * PART_ROWS : (index + 1) * PART_ROWS]
                    builder.write(table, index, pa.Table.from_pylist(part, schema=schema), schema)
            builder.finish(facts)
    return built_id


def example(i: int) -> dict[str, Any]:
    turns = (Turn("user", f"What is {i} plus {i}? It's “simple”."), Turn("assistant", f"It is {2 * i}."))
    messages = [{"role": one.role, "content": one.content, "tool_call": False, "supervised": None} for one in turns]
    text = {"prompt": turns[0].content, "response": turns[1].content, "n_turns": 2, "tools": None}
    return {"example_id": example_id(turns), "messages": messages, **text}


IDS = [example(i)["example_id"] for i in range(ROWS)]


def corpus(warehouse: Warehouse, name: str = "a.jsonl") -> str:
    """Build a corpus whose example 0 occurs twice in its source and that has three unusable rows."""
    sources = [{"example_id": IDS[i], "source": name, "row": i + 1, "licence": "MIT"} for i in range(ROWS)]
    again = {"example_id": IDS[0], "source": name, "row": 1000, "licence": None}
    broken = [
        {"source": name, "row": 500 + i, "column": None, "reason": "not valid JSON", "sample": "{"} for i in range(3)
    ]
    tables: Tables = {
        "part": ([example(i) for i in range(ROWS)], EXAMPLES),
        "sources": ([again, *sources], SOURCES),
        "quarantine": (broken, QUARANTINE),
    }
    return make(warehouse, "corpus", {f"0:{name}": "0" * 16}, {}, tables, n_examples=ROWS)


def published(root: Path) -> Path:
    """Build a warehouse with a corpus and a catalog, and return its folder."""
    warehouse = Warehouse(root)
    corpus(warehouse)
    publish(warehouse)
    return root


def embeddings(warehouse: Warehouse, corpus_id: str, width: int = 4) -> str:
    vectors = np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)
    rows = [{"example_id": IDS[i], "embedding": vectors[i].tolist()} for i in range(ROWS)]
    settings = {"encoder": f"of {width}"}
    return make(warehouse, "embeddings", {"corpus": corpus_id}, settings, {"part": (rows, embeddings_schema(width))})


def clusters(warehouse: Warehouse, corpus_id: str, embeddings_id: str) -> str:
    rows = [
        {
            "example_id": IDS[i],
            "cluster": i % CLUSTERS_MADE,
            "membership": 0.5,
            "map_x": i,
            "map_y": -i,
            "diffusion_x": i,
            "diffusion_y": -i,
            "concepts": [i],
        }
        for i in range(ROWS)
    ]
    terms = [{"cluster": k, "size": ROWS // CLUSTERS_MADE, "terms": [f"t{k}", "plus"]} for k in range(CLUSTERS_MADE)]
    concepts = [{"concept": i, "phrase": f"phrase {i}"} for i in range(ROWS)]
    curve = [
        {"k": k, "modularity": k / 9, "modularity_std": 0.01, "stability": 0.9, "silhouette": 0.2} for k in (2, 3, 4)
    ]
    tables: Tables = {
        "part": (rows, CLUSTERS),
        "terms": (terms, TERMS),
        "concepts": (concepts, CONCEPTS),
        "curve": (curve, CURVE),
    }
    inputs = {"corpus": corpus_id, "embeddings": embeddings_id}
    return make(warehouse, "clusters", inputs, {"n_clusters": 3}, tables, n_clusters=3)


def scores(warehouse: Warehouse, corpus_id: str) -> str:
    signals = {
        "don": 1.0,
        "nod": 2.0,
        "nll_original": 0.5,
        "nll_compressed": 0.9,
        "entropy": 1.5,
        "el2n": 0.3,
        "ifd": None,
    }
    rows = [
        {
            "example_id": IDS[i], "status": "ok", "cds": i / 100, **signals,
            "n_prompt_tokens": 3 + i, "n_response_tokens": 4, "truncated": False,
        }
        for i in range(ROWS)
    ]  # fmt: skip
    inputs = {"corpus": corpus_id, "original": "1" * 16, "compressed": "2" * 16}
    models = {"original": "a", "compressed": "b"}
    return make(warehouse, "scores", inputs, {"max_length": 512}, {"part": (rows, SCORES)}, models=models)


def selection(warehouse: Warehouse, inputs: dict[str, str], method: str = "paser", budget: int = 6) -> str:
    """Build a selection: paser keeps the last rows and prefers the last to row 1, others keep the first rows."""
    kept = list(range(ROWS - budget, ROWS)) if method == "paser" else list(range(budget))

    def row(built_id: str, i: int) -> dict[str, Any]:
        lost = method == "paser" and i == 1
        reason = "selected" if i in kept else "conflict" if lost else "budget"
        return {
            "selection_id": built_id, "example_id": IDS[i], "kept": i in kept, "reason": reason,
            "rank": 1 + kept.index(i) if i in kept else None, "related_id": IDS[-1] if lost else None,
            "cluster": i % CLUSTERS_MADE if "clusters" in inputs else None, "score": i / 10,
        }  # fmt: skip

    def allotted(k: int) -> dict[str, Any]:
        shares = {"size": ROWS // 3, "eligible": ROWS // 3, "degradation": 0.1 * (k + 1), "budget": budget / 3}
        return {"cluster": k, **shares, "kept": budget // 3, "filled": 0, "refused": int(k == 1)}

    def tables(built_id: str) -> Tables:
        allocation = [allotted(k) for k in range(CLUSTERS_MADE)] if method == "paser" else []
        return {"part": ([row(built_id, i) for i in range(ROWS)], LEDGER), "allocation": (allocation, ALLOCATION)}

    facts = {"n_examples": ROWS, "n_kept": budget, "n_tokens_kept": 9 * budget, "warnings": ["small corpus"]}
    return make(warehouse, "selection", inputs, {"method": method, "budget": str(budget)}, tables, **facts)


def brief_selection(warehouse: Warehouse, number: int, **inputs: str) -> str:
    """Build a selection of three rows whose ledger is one file, as every real ledger is."""

    def tables(built_id: str) -> Tables:
        rows = [
            {"selection_id": built_id, "example_id": one, "kept": False, "reason": "budget", "cluster": 0}
            for one in IDS[:3]
        ]
        share = {"cluster": 0, "size": 3, "eligible": 3, "kept": 0, "filled": 0, "refused": 0}
        return {"part": (rows, LEDGER), "allocation": ([share], ALLOCATION)}

    settings = {"method": f"method {number}", "budget": "1"}
    return make(warehouse, "selection", inputs, settings, tables, reasons={"budget": 3})


def recovery(warehouse: Warehouse, selection_id: str) -> str:
    """Build a recovery of four steps whose method was chosen automatically and whose last perplexity is not finite."""
    steps = [
        {
            "step": i,
            "epoch": i / 2,
            "loss": 2.0 / i,
            "gradient_norm": 1.0,
            "learning_rate": 1e-4,
            "tokens": 100,
            "seconds": 0.5,
        }
        for i in range(1, 5)
    ]
    inputs = {"selection": selection_id, "compressed": "2" * 16}
    facts = {"method": "mask_lora", "model": "m", "merged": True, "rows": 6, "steps": 4, "tokens": 400, "trainable": 9}
    measured = {
        "sparsity_before": 0.5,
        "sparsity_after": 0.5,
        "perplexity_before": 3.5,
        "perplexity_after": float("inf"),
    }
    return make(warehouse, "recovery", inputs, {"method": "auto"}, {"part": (steps, METRICS)}, **facts, **measured)


def fill(warehouse: Warehouse) -> dict[str, str]:
    """Build one artefact of each noun, two selections and a recovery, and return their ids by a short name."""
    corpus_id = corpus(warehouse)
    embeddings_id = embeddings(warehouse, corpus_id)
    ids = {"corpus": corpus_id, "embeddings": embeddings_id}
    ids["clusters"] = clusters(warehouse, corpus_id, embeddings_id)
    ids["scores"] = scores(warehouse, corpus_id)
    used = {noun: ids[noun] for noun in ("corpus", "clusters", "scores")}
    ids["uniform"] = selection(warehouse, {"corpus": corpus_id}, "uniform")
    ids["paser"] = selection(warehouse, used)
    ids["recovery"] = recovery(warehouse, ids["paser"])
    return ids


def rows(root: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the answer of the catalog to a question."""
    with open_catalog(root) as con:
        return con.execute(sql).fetchall()


def described(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Return names and types of the columns of every table and view of the catalog."""
    with open_catalog(root) as con:
        names = [name for (name,) in con.execute("SHOW TABLES").fetchall()]
        return {name: [row[:2] for row in con.execute(f"DESCRIBE {name}").fetchall()] for name in names}
