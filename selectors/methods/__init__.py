"""The selection methods, one per module."""
