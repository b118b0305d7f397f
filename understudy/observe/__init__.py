"""Observation of a server: metrics, logs, health, incidents, and the live actor tree.

Nothing here changes what the server does, but for the operator's kill of an actor.
"""
