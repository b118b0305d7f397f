"""What happens to a user's data over time: erasure, retention, export.

Reads and deletes through `storage`; nothing is served from here.
"""
