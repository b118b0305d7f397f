"""Several servers over one database and one Redis, which work as one: see `docs/explanation/nodes.md`."""
