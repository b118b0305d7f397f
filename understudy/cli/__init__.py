"""Commands of the terminal: to serve, migrate, see settings, and for who runs a server.

Only parsing of arguments and printing stands here; what a command does is another room's.
"""
