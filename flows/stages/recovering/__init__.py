"""Parts of the recovery stage: the request, held-out rows, what the job gets, and the job process."""
