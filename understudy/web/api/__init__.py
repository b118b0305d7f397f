"""The REST API: one module with a blueprint for each resource.

Handlers only parse, call, and encode; the rules are in the packages that they call.
"""
