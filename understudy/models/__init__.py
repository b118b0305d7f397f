"""The models of a server: names, providers, limits, prices and retries. All use the types of `models.model`.

A model is given a request and streams a turn. This package knows nothing of agents and conversations, nor of the APIs
of providers, whose clients are in extensions.
"""
