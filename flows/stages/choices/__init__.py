"""What diagnoses on multiple-choice tasks read: items in two halves, wordings."""
