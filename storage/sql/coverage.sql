-- Share of each cluster that a selection kept, lowest first.
-- $selection = latest: id of the selection, or a prefix of it
SELECT
    ledger.cluster,
    count(*) AS examples,
    count(*) FILTER (WHERE ledger.kept) AS kept,
    count(*) FILTER (WHERE ledger.kept) / count(*) AS share_kept,
    array_to_string(any_value(cluster_terms.terms)[1:5], ', ') AS terms
FROM ledger
JOIN selections USING (selection_id)
LEFT JOIN cluster_terms
    ON cluster_terms.clusters_id = selections.clusters_id AND cluster_terms.cluster = ledger.cluster
WHERE ledger.selection_id = $selection
GROUP BY ledger.cluster
ORDER BY share_kept, ledger.cluster
