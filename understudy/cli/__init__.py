"""Commands of the terminal: serve, migrate, show settings, and administer a running server.

This package parses arguments and prints; the work of each command is done by other packages.
"""
