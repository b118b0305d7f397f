"""Ready-made ways to behave, each a small layer over the plain actor."""
