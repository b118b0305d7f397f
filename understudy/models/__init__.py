"""Models and their providers, one provider a module; all use the types of `models.model`.

A model is given a request and streams a turn. Agents, conversations and tools are unknown here.
"""
