"""Conversations to token ids and supervision masks, and token ids to batches."""
