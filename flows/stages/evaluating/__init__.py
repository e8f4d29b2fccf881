"""Parts of the evaluation stage: tasks, judge, grouping by cluster, and summary of results."""
