"""How a selection leaves for somebody's trainer: one module a shape, one entry a consumer. Reads artefacts only."""

from curate.storage.exports.targets import TARGETS, export, target_named

__all__ = ["TARGETS", "export", "target_named"]
