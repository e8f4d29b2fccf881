"""Parts of the evaluation stage: judge, grouping by cluster, and summary of results."""
