"""Removes experts from mixture-of-experts models."""
