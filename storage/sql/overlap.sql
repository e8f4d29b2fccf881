-- Overlap of the kept examples of two selections (Jaccard index).
-- $selection = latest: id of one selection, or a prefix of it
-- $other = previous: id of the other one, or a prefix of it
SELECT
    $selection AS selection_id,
    $other AS other_id,
    count(*) FILTER (WHERE side = 1 OR side = 3) AS kept,
    count(*) FILTER (WHERE side = 2 OR side = 3) AS other_kept,
    count(*) FILTER (WHERE side = 3) AS both_kept,
    count(*) FILTER (WHERE side = 3) / nullif(count(*), 0) AS jaccard
FROM (
    -- side is 1 if only the first kept the example, 2 if only the other, 3 if both.
    SELECT example_id, sum(DISTINCT side) AS side
    FROM (
        SELECT example_id, 1 AS side FROM ledger WHERE selection_id = $selection AND kept
        UNION ALL
        SELECT example_id, 2 AS side FROM ledger WHERE selection_id = $other AND kept
    )
    GROUP BY example_id
)
