-- Quantiles of every signal over the kept and the other examples of a selection.
-- $selection = latest: id of the selection, or a prefix of it
WITH long AS (
    UNPIVOT (
        SELECT
            ledger.kept,
            COLUMNS(scores.* EXCLUDE (scores_id, example_id, status, n_prompt_tokens, n_response_tokens, truncated))::DOUBLE
        FROM ledger
        JOIN selections USING (selection_id)
        JOIN scores ON scores.scores_id = selections.scores_id AND scores.example_id = ledger.example_id
        WHERE ledger.selection_id = $selection
    )
    ON COLUMNS(* EXCLUDE kept)
    INTO NAME signal VALUE number
)
SELECT
    signal,
    kept,
    count(*) AS examples,
    quantile_cont(number, 0.05) AS q05,
    quantile_cont(number, 0.25) AS q25,
    quantile_cont(number, 0.5) AS median,
    quantile_cont(number, 0.75) AS q75,
    quantile_cont(number, 0.95) AS q95
FROM long
GROUP BY signal, kept
ORDER BY signal, kept DESC
