-- Quarantined rows by corpus, source and reason, with the first such row.
SELECT corpus_id, source, reason, count(*) AS quarantined, min("row") AS first_row
FROM quarantine
GROUP BY corpus_id, source, reason
ORDER BY quarantined DESC, corpus_id, source, reason
