"""Observation of a server: metrics, logs, health, incidents, and the live actor tree.

Observation does not change the behaviour of a server.
"""
