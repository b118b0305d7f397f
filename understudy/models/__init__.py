"""What all models have in common: their names, providers, limits and retries; all use the types of `models.model`.

A model is given a request and streams a turn. Agents, conversations and tools are unknown here, and so are the APIs of
providers: extensions bring their clients.
"""
