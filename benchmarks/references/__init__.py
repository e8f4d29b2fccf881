"""Baselines and inputs of the benchmarks: literal recipes, random pairs of models, realistic lengths."""
