-- The clusters that compression hurt most, with what a selection allotted to them and kept.
-- $selection = latest: id of the selection, or its beginning
-- $limit = 10: number of clusters
SELECT cluster, degradation, size, budget, kept, refused, array_to_string(terms[1:5], ', ') AS terms
FROM cluster_summary
WHERE selection_id = $selection
ORDER BY degradation DESC NULLS LAST, cluster
LIMIT $limit
