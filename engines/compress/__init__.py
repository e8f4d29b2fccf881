"""Makes compressed models: magnitude and Wanda pruning, unstructured or N:M, and the removal of whole layers."""

from curate.engines.compress.run import compress

__all__ = ["compress"]
