-- Examples and kept examples of a selection by source and licence.
-- $selection = latest: id of the selection, or a prefix of it
SELECT
    sources.source,
    sources.licence,
    count(DISTINCT ledger.example_id) AS examples,
    count(DISTINCT ledger.example_id) FILTER (WHERE ledger.kept) AS kept,
    count(DISTINCT ledger.example_id) FILTER (WHERE ledger.kept) / count(DISTINCT ledger.example_id) AS share_kept
FROM ledger
JOIN selections USING (selection_id)
JOIN sources ON sources.corpus_id = selections.corpus_id AND sources.example_id = ledger.example_id
WHERE ledger.selection_id = $selection
GROUP BY sources.source, sources.licence
ORDER BY kept DESC, sources.source, sources.licence
