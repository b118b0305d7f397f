"""The command `understudy doctor`: checks of a configuration and of the services it names.

Checks read; they change nothing but files of their own.
"""
