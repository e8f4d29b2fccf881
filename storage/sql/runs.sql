-- What was run lately, how it ended and how long it took.
-- $limit = 20: number of runs
SELECT run_id, command, status, started, seconds, error, artefacts
FROM runs
ORDER BY run_id DESC
LIMIT $limit
