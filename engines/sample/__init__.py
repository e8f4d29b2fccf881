"""Answers of a model to given prompts, drawn until one is accepted."""
