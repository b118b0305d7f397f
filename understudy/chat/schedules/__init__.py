"""Schedules: when they are due, what a firing does, and the actor that fires them.

Runs of schedules are started by the command dispatcher, like those of users; nothing here knows of HTTP.
"""
