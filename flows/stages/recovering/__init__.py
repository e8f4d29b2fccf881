"""Parts of the recovery stage."""
