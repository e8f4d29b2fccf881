"""Parts of the targets stage."""
