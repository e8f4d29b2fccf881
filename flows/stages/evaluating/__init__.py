"""Parts of the evaluation stage."""
