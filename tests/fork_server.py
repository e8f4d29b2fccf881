"""The context in which tests start child processes, with the libraries of the product imported once.

Not "fork": Arrow, DuckDB, polars and OpenMP run threads in the tests' process, and a fork of it can wait for ever for a
lock that one of them holds. The server itself has imported libraries and never used them, so it has one thread.
"""

from __future__ import annotations

import multiprocessing
import pkgutil

from curate.flows.cli import commands

LIBRARIES = [
    *(f"curate.flows.cli.commands.{module.name}" for module in pkgutil.iter_modules(commands.__path__)),
    "curate.engines.compress",
    "curate.engines.embed.encode",
    "curate.engines.evaluate",
    "curate.engines.score",
    "curate.flows.dispatch",
    "curate.flows.operations.collect_garbage",
    "curate.flows.operations.export",
    "curate.flows.operations.import_scores",
    "curate.flows.operations.pictures",
    "curate.flows.operations.repair",
    "curate.flows.operations.report",
    "curate.selectors.clustering.cluster",
    "curate.selectors.registry",
    "curate.storage.catalog.publish",
    "curate.storage.formats",
    "curate.storage.inputs.corpus_tables",
    "curate.storage.inputs.imported_scores",
    "curate.storage.report.page",
    "pyarrow.dataset",
    "pyarrow.fs",
    "sklearn.cluster",
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(LIBRARIES)
