"""What a recovery leaves behind: report, model card, folder."""
