"""Several servers over one database and one Redis that work as one: see `docs/explanation/nodes.md`.

Only what needs a second node stands here; a conversation does not know whether its client is on another.
"""
