"""Commands of the terminal: serve, chat, doctor, token, scrub, users, threads, database.

Only parsing of arguments and printing stands here; what a command does is another room's.
"""
