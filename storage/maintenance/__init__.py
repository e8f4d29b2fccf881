"""Garbage collection, checks and forgotten rows."""
