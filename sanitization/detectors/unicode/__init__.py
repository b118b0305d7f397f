"""Invisible and confusable characters in text."""
