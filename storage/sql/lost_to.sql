-- The examples that were preferred most often over conflicting or duplicate ones, with their prompts.
-- $selection = latest: id of the selection, or a prefix of it
-- $limit = 10: number of examples
SELECT
    losers.related_id AS example_id,
    losers.lost,
    losers.reasons,
    left(examples.prompt, 80) AS prompt
FROM (
    SELECT related_id, count(*) AS lost, list_sort(list(DISTINCT reason)) AS reasons
    FROM ledger
    WHERE selection_id = $selection AND related_id IS NOT NULL
    GROUP BY related_id
) AS losers
LEFT JOIN selections ON selections.selection_id = $selection
LEFT JOIN examples ON examples.corpus_id = selections.corpus_id AND examples.example_id = losers.related_id
ORDER BY losers.lost DESC, losers.related_id
LIMIT $limit
