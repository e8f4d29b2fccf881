"""Allocation of a budget over clusters: by degradation, size or measured gain."""
