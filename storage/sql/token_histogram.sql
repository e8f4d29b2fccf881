-- Histogram of tokens per example (prompt and response), for the corpus and the kept examples, by powers of two.
-- $selection = latest: id of the selection, or a prefix of it
SELECT
    CAST(pow(2, bin) AS BIGINT) AS tokens_from,
    CAST(pow(2, bin + 1) AS BIGINT) - 1 AS tokens_to,
    count(*) AS examples,
    count(*) FILTER (WHERE kept) AS kept,
    count(*) FILTER (WHERE kept) / count(*) AS share_kept
FROM (
    SELECT
        ledger.kept,
        CAST(floor(log2(greatest(scores.n_prompt_tokens + scores.n_response_tokens, 1))) AS INTEGER) AS bin
    FROM ledger
    JOIN selections USING (selection_id)
    JOIN scores ON scores.scores_id = selections.scores_id AND scores.example_id = ledger.example_id
    WHERE ledger.selection_id = $selection
)
GROUP BY bin
ORDER BY bin
