"""The peers of the actors' figures: one file each, one process each, the same work in each."""
