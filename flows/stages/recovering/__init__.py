"""Parts of the recovery stage: held-out rows and the job process."""
