"""Recovers compressed models by training that preserves their zeros, and detects how a model was compressed."""

from curate.engines.recover.context import RecoveryContext
from curate.engines.recover.methods.inspection import inspect_model
from curate.engines.recover.observer import Observer
from curate.engines.recover.run import recover

__all__ = ["Observer", "RecoveryContext", "inspect_model", "recover"]
