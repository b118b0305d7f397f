"""The servers that are measured, each a process of its own: ours, the whole product, and the peers."""
