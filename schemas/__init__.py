"""What things are: rows, artefacts, settings, errors. Imports nothing, so that any room may import it cheaply."""
