"""Models: loading, tokenizers, checks before a run, output heads, folders."""
