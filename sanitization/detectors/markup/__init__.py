"""Active markup and dangerous addresses in text."""
