"""The parts of a corpus through the models, here or by workers that share them, and into the scores artefact.

Whoever scores a part, this process alone writes it, under the lock that it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.schemas.scores import SCORES
from curate.storage.warehouse.places import TEACHERS

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
    """What is scored, with what."""

    warehouse: Warehouse
    settings: Settings
    plan: Recipe
    known: KnownScores
    """Rows that are not to be scored again."""
    ids: Sequence[pa.Array]
    """Example ids of every part of the corpus."""

    def write(self, builder: Builder, new: Sequence[int]) -> tuple[dict[str, Any], int]:
        """Score the parts `new` and write them.

        Returns
        -------
        (dict, int)
            What the manifest should say of models and workers, and the peak memory, in bytes, of other processes.
        """
        from curate.engines.models.devices import threads, worker_devices
        from curate.engines.workers.pool import open_pool

        how = self.settings.score
        devices = worker_devices(how.device, how.workers)
        many = self.settings.threads or threads()
        task = self._task()
        if how.sequential and task.original is not None:
            task = self._after_reading(task, devices[: len(self.ids)], many)
        # A worker without a part would load its models for nothing.
        with open_pool(task, devices[: max(1, len(new))], many) as pool:
            with progress.stage("score", sum(map(len, self.ids)), builder.rows("part")) as advance:
                for index, scored in pool.run(self._parts(new), advance):
                    builder.write("part", index, self.known.complete(self.ids[index], scored), SCORES)
                    advance(len(self.ids[index]) - scored.num_rows)
            workers = pool.worker_summaries()
            return pool.facts | ({"workers": workers} if workers else {}), pool.peak_memory

    def _parts(self, wanted: Container[int]) -> Iterator[IndexedBatch]:
        """Yield number and new conversations of the wanted parts."""
        columns = ["example_id", "messages", "tools"]
        batches = self.warehouse.batches("corpus", self.plan.inputs["corpus"], columns=columns)
        for index, batch in enumerate(batches):
            if index in wanted:
                yield index, self.known.new(batch)

    def _task(self) -> ScoringTask:
        from curate.engines.score.config import ScoreConfig
        from curate.engines.score.task import ScoringTask

        how = self.settings.score
        config = ScoreConfig(
            max_length=how.max_length,
            template=how.template,
            probe_lr=how.probe_lr,
            batch_tokens=how.batch_tokens,
            ifd=how.ifd,
            layers=how.layers,
            teacher_top=None if how.teacher_cache == "exact" else int(how.teacher_cache.partition("=")[2]),
        )
        models = self.settings.original, str(self.settings.compressed)
        return ScoringTask(*models, config, how.dtype, self.settings.trust_remote_code)

    def _after_reading(self, task: ScoringTask, devices: Sequence[str], threads: int) -> ScoringTask:
        """Have the original read the corpus, unless it did, and return how the other model scores without it."""
        from curate.engines.score.sequential import OriginalSpec, cache_original

        causes = {role: self.plan.inputs[role] for role in ("original", "corpus")}
        causes["known"] = ",".join(self.known.sources)
        original = OriginalSpec(str(task.original), task.compressed, causes, task.dtype, task.trust_remote_code)
        with progress.stage("read", sum(map(len, self.ids))) as advance:
            folder, config = cache_original(
                lambda: self._parts(range(len(self.ids))),
                original,
                task.config,
                self.warehouse.root / TEACHERS,
                devices,
                threads,
                advance,
            )
        return replace(task, original=None, original_cache=folder, config=config)
