"""Commands of the terminal: to serve, chat, scrub, migrate and back up, and for who runs a server.

Only parsing of arguments and printing stands here; what a command does is another room's.
"""
