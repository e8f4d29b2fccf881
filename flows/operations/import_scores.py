"""``curate import-scores``: stores a user's own signals for a corpus as a scores artefact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import pipeline, stages
from curate.flows.session import open_warehouse
from curate.flows.stages.recipe import Recipe
from curate.schemas.errors import UsageError
from curate.schemas.scores import IMPORTED

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings

VERSION = 1


def import_scores(settings: Settings, path: Path) -> dict[str, Any]:
    """Read a file of scores into the warehouse.

    Parameters
    ----------
    settings : Settings
        Its corpus is ingested if necessary; without one, the newest corpus of the warehouse is used.
    path : Path
        See `curate.storage.inputs.imported_scores.read_imported`.

    Returns
    -------
    dict
        ``scores_id``, ``corpus_id``, ``signals`` (name to number of examples), and the counts ``n_rows``,
        ``n_unknown``, ``n_missing`` of `ImportedScores`.

    Raises
    ------
    InputError
        If the file cannot be used.
    UsageError
        If there is no corpus to import the scores for.
    """
    from curate.storage.catalog.publish import publish
    from curate.storage.inputs.imported_scores import read_imported

    warehouse = open_warehouse(settings)
    with warehouse.start_run("import-scores", settings.model_dump(mode="json")) as run:
        if settings.corpus:
            corpus = pipeline.directly(stages.ingest, warehouse, settings)
        elif corpora := warehouse.list("corpus"):
            corpus = corpora[0].id
        else:
            raise UsageError(f"there is no corpus in {warehouse.root} yet; pass --corpus FILE")
        imported = read_imported(path, warehouse.read("corpus", corpus, "sources"))
        inputs = {"corpus": corpus, "file": warehouse.digests.file(path)}
        recipe = Recipe("scores", VERSION, inputs, {"imported": path.name})
        with recipe.build(warehouse) as builder:
            if not builder.done:
                builder.write("imported", 0, imported.table, IMPORTED)
                signals = {one["values"]: one["counts"] for one in imported.table["signal"].value_counts().to_pylist()}
                counts = {"n_rows": imported.n_rows, "n_unknown": imported.n_unknown, "n_missing": imported.n_missing}
                builder.finish({"signals": signals, **counts})
        run.add("scores", recipe.id)
    publish(warehouse)
    return {"scores_id": recipe.id, "corpus_id": corpus, **warehouse.manifest("scores", recipe.id).facts}
