"""Parts of the scoring stage."""
