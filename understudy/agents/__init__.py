"""Agents: the declaration `Agent`, and the guide and the liaisons that come with the server.

The run of an agent is in `chat.run`, the call of a model in `models`.
"""
