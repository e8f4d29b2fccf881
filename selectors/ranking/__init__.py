"""Orders over rows: a preference per row in, an order out."""
