"""Detectors of active markup and dangerous addresses, and the HTML cleaner they share.

Rendering of answers stands in the chat server, not here.
"""
