"""Durable storage: one writer with group commit over SQLite or PostgreSQL, many readers, migrations, backups, a cache.

SQL for the server's database stands in this room only. It knows records and blobs, and no actor, command or event of
a chat by its meaning.
"""
