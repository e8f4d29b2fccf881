"""The phases of a recovery: the original's predictions, reconstruction, training, merging, verification."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.engines.models.checkpoints import model_files
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.methods.layers import with_chosen_layers
from curate.engines.recover.methods.merging import merge
from curate.engines.recover.methods.reconstruction import reconstruct
from curate.engines.recover.methods.sparsity import nonzero_masks, share_of_zeros
from curate.engines.recover.output import difference_of_written, rehearse, save_adapter, trained_logits
from curate.engines.recover.prepare import load_original, load_setup, prepare_recovery
from curate.engines.recover.results.report import (
    expert_warnings,
    facts_before_training,
    facts_of_layers,
    facts_of_widths,
    heldout_perplexity,
    perplexities_at,
    rounding_warnings,
    trainable_size,
    training_summary,
)
from curate.engines.recover.training.checkpoints import Checkpoints
from curate.engines.recover.training.elastic_widths import elastic_widths
from curate.engines.recover.training.group_rows import read_group_weights
from curate.engines.recover.training.loop import train
from curate.engines.recover.training.memory import size_of
from curate.engines.recover.training.objective import objective
from curate.engines.recover.training.original_predictions import PredictionCache, predict_rows
from curate.schemas.artefacts import digest

if TYPE_CHECKING:
    from torch import Tensor

    from curate.engines.recover.context import RecoveryContext
    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.methods.sparsity import NonzeroMasks
    from curate.engines.recover.observer import Observer
    from curate.engines.recover.prepare import LoadedSetup, RecoverySetup
    from curate.engines.recover.results.work_folder import WorkFolder
    from curate.engines.recover.training.checkpoints import TrainingProgress
    from curate.engines.recover.training.elastic_widths import ElasticWidths
    from curate.engines.recover.training.group_weights import GroupWeights
    from curate.engines.recover.training.objective import Objective
    from curate.engines.recover.training.original_predictions import OriginalPredictions
    from curate.engines.recover.training.rows import Rows
    from curate.schemas.recovery import RecoveryRequest

MAY_CHANGE = ("device", "batch_tokens", "gradient_checkpointing", "checkpoint_steps", "merge", "save_dtype")
"""Settings that a resumed run may change: they decide memory use and output, not the trained weights."""


@dataclass(eq=False)
class RecoveryExecution:
    """One call of `curate.engines.recover.recover`: its settings, and the phases in which it runs."""

    model: str
    original: str | None
    request: RecoveryRequest
    folder: WorkFolder
    context: RecoveryContext
    observer: Observer

    def run(self, rows: Rows, heldout: Rows) -> dict[str, Any]:
        """Train and write the model to the work folder; return the facts of the report, in the first process."""
        is_first = self.context.group.is_first
        setup = prepare_recovery(
            self.model, rows, self.request,
            heldout=heldout, original=self.original, template_digest=self.context.template_digest,
        )  # fmt: skip
        self.request = with_chosen_layers(setup, self.original, self.request, self.context.group)
        groups = read_group_weights(rows, setup.rows, self.request)
        # Before the model is loaded, so that the original is alone in memory.
        predictions = self._predictions(setup)
        loaded = load_setup(setup, self.request)
        widths = elastic_widths(loaded, self.request)
        facts = facts_before_training(loaded) if is_first else {}
        # The zeros of a dequantised model are rounding: nothing has to keep them.
        masks = {} if loaded.findings.dequantised and not loaded.findings.sparse else nonzero_masks(loaded.model)
        if is_first and Checkpoints(self.folder.checkpoints, "").latest() is None:
            rehearse(loaded, masks, self.request, self.folder)
        facts |= self._reconstruct(loaded)
        # The adaptation lives in this call only: it holds the model, which must be freed before it is loaded again.
        trained_facts, logits = self._train_and_write(loaded, predictions, groups, masks, widths)
        if not is_first:
            return {}
        facts |= trained_facts
        if self.request.merge:
            facts |= self._verify_written(loaded, logits) | {"merged": True}
            facts["warnings"] += rounding_warnings(facts, loaded.stored)
            return facts
        unchanged = {"sparsity_after": facts["sparsity_before"], "perplexity_after": facts["perplexity_trained"]}
        return facts | unchanged | {"merged": False}

    def _predictions(self, setup: RecoverySetup) -> OriginalPredictions | None:
        """Return the original's predictions of the rows, None for ordinary training."""
        if self.original is None or not self.request.asks_original:
            return None
        cache = self.context.cache or PredictionCache.in_work_folder(self.folder.path, self.original)
        # The first process computes them; the others then load them from the cache.
        with self.context.group.first_before_others():
            return predict_rows(setup, self.original, self.request, cache, setup.rows, observer=self.observer)

    def _reconstruct(self, loaded: LoadedSetup) -> dict[str, Any]:
        """Reconstruct the layers, if requested, in the first process, and copy them to the others."""
        if self.original is None or not self.request.reconstruct:
            return {}
        facts: dict[str, Any] = {}
        if self.context.group.is_first:
            folder = self.folder.layers / self._cause(loaded)
            original = load_original(loaded, self.original, self.request)
            facts["reconstruction"] = reconstruct(
                loaded.model, original, loaded.rows, self.request.seed, folder=folder, observer=self.observer
            )
            del original
            facts["perplexity_reconstructed"] = heldout_perplexity(loaded)
        self.context.group.broadcast(loaded.model.parameters())
        return facts

    def _train_and_write(
        self,
        loaded: LoadedSetup,
        predictions: OriginalPredictions | None,
        groups: GroupWeights | None,
        masks: NonzeroMasks,
        widths: ElasticWidths | None,
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """Train, merge, and write the model to the work folder; return facts and the trained model's probe logits."""
        parameters = sum(one.numel() for one in loaded.model.parameters())
        before = perplexities_at(loaded, widths)
        adaptation = attach(loaded.model, loaded.method, self.request)
        minimised = objective(loaded, predictions, self.request, groups, widths)
        progress = self._train(loaded, adaptation, minimised)
        if not self.context.group.is_first:
            return {}, []
        facts = trainable_size(adaptation, parameters, self.request.epochs)
        facts |= facts_of_layers(self.request)
        facts |= {"learning_rate": self.request.peak(loaded.method, size_of(loaded.model).width)}
        facts |= training_summary(progress.metrics, progress.unreached)
        facts["warnings"] += expert_warnings(adaptation)
        if groups is not None:
            facts["group_weights"] = dict(zip(groups.names, groups.weights.tolist(), strict=True))
        if widths is not None:
            facts["elastic"] = facts_of_widths(widths, facts["steps"], before, perplexities_at(loaded, widths))
        facts["perplexity_trained"] = heldout_perplexity(loaded)
        logits = trained_logits(loaded)
        save_adapter(adaptation, loaded, self.request, self.folder)
        if self.request.merge:
            merge(adaptation, masks, loaded.stored)
            facts["sparsity_after"] = share_of_zeros(loaded.model)
        self.folder.write_model(loaded, self.request.merge)
        return facts, logits

    def _train(self, loaded: LoadedSetup, adaptation: Adaptation, minimised: Objective) -> TrainingProgress:
        hooked = nullcontext() if minimised.widths is None else minimised.widths.hooked(loaded.model)
        with hooked:
            return train(
                adaptation,
                loaded.rows,
                self.request,
                checkpoints=Checkpoints(self.folder.checkpoints, self._cause(loaded)),
                objective=minimised,
                precision=loaded.precision,
                group=self.context.group,
                observer=self.observer,
            )

    def _verify_written(self, loaded: LoadedSetup, logits: list[Tensor]) -> dict[str, Any]:
        """Load the written model as a user would and compare it with the trained one."""
        difference = difference_of_written(loaded, self.folder.staged, logits)
        return {"merge_difference": difference, "perplexity_after": heldout_perplexity(loaded)}

    def _cause(self, setup: RecoverySetup) -> str:
        """Return a digest of everything that decides the trained weights."""
        # Model files by size and modification time: digesting their content would read them a second time.
        files = [path for name in (self.model, self.original) if name is not None for path in model_files(name)]
        weights = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
        rows = [[item.ids.tolist(), item.supervised.tolist()] for item in setup.rows]
        settings = {key: value for key, value in self.request.to_json().items() if key not in MAY_CHANGE}
        return digest([setup.method, weights, digest(rows), settings, str(setup.precision)])
