"""Compresses models by magnitude or Wanda pruning, unstructured or N:M, or by removing whole decoder layers."""

from curate.engines.compress.request import CompressionRequest
from curate.engines.compress.run import compress

__all__ = ["CompressionRequest", "compress"]
