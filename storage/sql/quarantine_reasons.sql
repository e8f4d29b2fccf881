-- Why rows could not be used, for every corpus and source, with the first such row.
SELECT corpus_id, source, reason, count(*) AS quarantined, min("row") AS first_row
FROM quarantine
GROUP BY corpus_id, source, reason
ORDER BY quarantined DESC, corpus_id, source, reason
