"""Conversations to token ids and supervision masks, and rows to batches."""
