"""Row shapes (alpaca, sharegpt, messages, …), one module each: the columns of a row in, a conversation out."""
