"""Statistics of evaluations: intervals, retention, paired comparisons, overlap of selections."""
