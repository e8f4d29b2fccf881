"""Causal language models: loading, tokenizers, preflight checks, output heads, folders."""
