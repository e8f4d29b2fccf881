"""Data types shared by all packages: rows, artefacts, settings, errors. Imports no other package of curate."""
