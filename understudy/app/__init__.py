"""The composition root: settings, backends, building the tree, serving and draining.

Every other room gets what it needs from here by value; no room but `cli` imports this one.
"""
