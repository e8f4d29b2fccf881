-- Where the budget ends: the last kept and the first left-out rows of the clusters that keep the most rows.
-- $selection = latest: id of the selection, or a prefix of it
-- $clusters = 1: number of clusters
-- $rows = 2: rows on each side
WITH placed AS (
    SELECT
        *,
        count(*) FILTER (WHERE kept) OVER (PARTITION BY cluster) AS kept_in_cluster,
        row_number() OVER (
            PARTITION BY cluster, kept ORDER BY if(kept, -rank, NULL), score DESC NULLS LAST, example_id
        ) AS place
    FROM ledger
    WHERE selection_id = $selection AND reason IN ('selected', 'budget')
)
SELECT cluster, example_id, score, kept, rank, reason
FROM placed
WHERE place <= $rows
QUALIFY dense_rank() OVER (ORDER BY kept_in_cluster DESC, cluster NULLS LAST) <= $clusters
ORDER BY kept_in_cluster DESC, cluster NULLS LAST, kept DESC, place * if(kept, -1, 1)
