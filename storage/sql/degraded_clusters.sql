-- The most degraded clusters, with their budget and the kept rows of a selection.
-- $selection = latest: id of the selection, or a prefix of it
-- $limit = 10: number of clusters
SELECT cluster, degradation, size, budget, kept, refused, array_to_string(terms[1:5], ', ') AS terms
FROM cluster_summary
WHERE selection_id = $selection
ORDER BY degradation DESC NULLS LAST, cluster
LIMIT $limit
