"""Processes for parsers, databases and renderers that handle text of users and models.

`spawner` starts them from the server, `child` is what runs first in each, and `confine` takes away what it does not
need: the network, other files, other programs. `probe` is a program that reports what holds on this machine.
"""
