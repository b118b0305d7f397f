"""Agents that work on other servers, and are reached by a protocol. Their users see them as agents of this server.

A module here is a client of one protocol. What a user's own function does stands in `agents.turn`.
"""
