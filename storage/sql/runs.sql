-- The latest runs with status and duration in seconds.
-- $limit = 20: number of runs
SELECT run_id, command, status, started, seconds, error, artefacts
FROM runs
ORDER BY run_id DESC
LIMIT $limit
