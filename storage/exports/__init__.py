"""Exports selections for training frameworks; `curate.storage.exports.targets` has the table of targets."""

from curate.storage.exports.targets import TARGETS, export, target_named

__all__ = ["TARGETS", "export", "target_named"]
