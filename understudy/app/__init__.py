"""The composition root: settings, backends, building the tree, serving and draining.

It passes their dependencies to all other packages by value, so that they need not import it.
"""
