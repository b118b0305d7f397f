"""Hooks: programs that send messages by signed requests in the form of Slack's events, and get the answers posted.

Runs of hooks are started by the command dispatcher, like those of users. Nothing here knows of HTTP routes.
"""
