"""What a comparison shows: intervals, retention, paired tests, agreement of selections."""
