"""Trains a compressed model back, its zeros intact: `recover`; and tells what was done to a model: `inspect_model`."""

from curate.engines.recover.methods.inspection import inspect_model
from curate.engines.recover.run import recover

__all__ = ["inspect_model", "recover"]
