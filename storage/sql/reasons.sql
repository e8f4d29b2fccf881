-- Rows per ledger reason of a selection, most frequent first.
-- $selection = latest: id of the selection, or a prefix of it
SELECT
    reason,
    any_value(kept) AS kept,
    count(*) AS examples,
    count(*) / sum(count(*)) OVER () AS share
FROM ledger
WHERE selection_id = $selection
GROUP BY reason
ORDER BY examples DESC, reason
