"""Worker processes that compute the parts of an artefact in parallel, one process per device."""
