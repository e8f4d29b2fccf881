"""What the benchmarks measure against: literal recipes, random pairs of models, realistic lengths."""
