"""Injected instructions in text."""
