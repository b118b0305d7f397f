"""Delivery to one client: every durable event once and in order, ephemeral events as far as there is room.

Memory is bounded; durable events that do not fit are read from the log again.
"""
