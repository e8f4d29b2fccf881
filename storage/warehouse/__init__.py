"""Artefacts on disk: build, read, list and lock them; file digests and run records."""
