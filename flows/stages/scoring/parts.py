"""Scores the parts of a corpus, in this process or in workers, and writes them to the scores artefact.

Workers only compute: this process, which holds the lock of the artefact, writes all parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.flows.stages.engine import open_parts
from curate.schemas.scores import SCORES
from curate.schemas.sketches import sketches_schema
from curate.storage.warehouse.places import ORIGINAL_CACHE

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    import pyarrow as pa

    from curate.engines.score.task import ScoringTask
    from curate.engines.workers.process import IndexedBatch
    from curate.flows.stages.recipe import Recipe
    from curate.flows.stages.reuse.scores import KnownScores
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True, eq=False)
class Scorers:
    """Scores the parts of one corpus with one model pair."""

    warehouse: Warehouse
    settings: Settings
    plan: Recipe
    known: KnownScores
    """Scores of rows that are not computed again."""
    ids: Sequence[pa.Array]
    """Example ids of every part of the corpus."""

    def write(self, builder: Builder, new: Sequence[int]) -> tuple[dict[str, Any], int]:
        """Score the parts `new` and write them.

        Returns
        -------
        (dict, int)
            Facts about models and workers for the manifest, and the peak memory of the workers in bytes.
        """
        options = self.settings.score
        task = self._task()
        if options.sequential and task.original is not None:
            task = self._with_cached_original(task)
        with open_parts(self.settings, task, len(new), options.device, options.workers) as pool:
            with progress.stage("score", sum(map(len, self.ids)), builder.rows("part")) as advance:
                for index, scored in pool.run(self._parts(new), advance):
                    if options.sketch:
                        _write_sketches(builder, index, scored)
                    # Counts as finished, so it is written after the sketches of the same rows.
                    scores = self.known.complete(self.ids[index], scored.select(SCORES.names))
                    builder.write("part", index, scores, SCORES)
                    advance(len(self.ids[index]) - scored.num_rows)
            workers = pool.worker_summaries()
            return pool.facts | ({"workers": workers} if workers else {}), pool.peak_memory

    def _parts(self, wanted: Container[int]) -> Iterator[IndexedBatch]:
        """Yield the number and the new conversations of the wanted parts."""
        columns = ["example_id", "messages", "tools"]
        batches = self.warehouse.batches("corpus", self.plan.inputs["corpus"], columns=columns)
        for index, batch in enumerate(batches):
            if index in wanted:
                yield index, self.known.new(batch)

    def _task(self) -> ScoringTask:
        from curate.engines.score.config import ScoreConfig
        from curate.engines.score.task import ScoringTask

        options = self.settings.score
        config = ScoreConfig(
            max_length=options.max_length,
            template=options.template,
            probe_lr=options.probe_lr,
            batch_tokens=options.batch_tokens,
            ifd=options.ifd,
            sketch=options.sketch,
            layers=options.layers,
            teacher_top=None if options.teacher_cache == "exact" else int(options.teacher_cache.partition("=")[2]),
        )
        models = self.settings.original, str(self.settings.compressed)
        return ScoringTask(*models, config, options.dtype, self.settings.trust_remote_code)

    def _with_cached_original(self, task: ScoringTask) -> ScoringTask:
        """Cache the original's predictions on the corpus if necessary, and return the task that reads the cache."""
        from curate.engines.models.devices import cpu_threads, worker_devices
        from curate.engines.score.sequential import OriginalSpec, cache_original

        devices = worker_devices(self.settings.score.device, self.settings.score.workers)
        causes = {role: self.plan.inputs[role] for role in ("original", "corpus")}
        causes["known"] = ",".join(self.known.sources)
        original = OriginalSpec(str(task.original), task.compressed, causes, task.dtype, task.trust_remote_code)
        with progress.stage("read", sum(map(len, self.ids))) as advance:
            folder, config = cache_original(
                lambda: self._parts(range(len(self.ids))),
                original,
                task.config,
                self.warehouse.root / ORIGINAL_CACHE,
                devices[: len(self.ids)],
                self.settings.threads or cpu_threads(),
                advance,
            )
        return replace(task, original=None, original_cache=folder, config=config)


def _write_sketches(builder: Builder, index: int, scored: pa.RecordBatch) -> None:
    schema = sketches_schema(scored.schema.field("state").type.list_size)
    builder.write("sketches", index, scored.select(schema.names), schema)
