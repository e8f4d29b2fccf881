"""Embeddings of prompts by sentence encoders."""
