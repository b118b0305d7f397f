"""The AG-UI protocol as one more encoding of the same events.

Its HTTP route, and how its requests become commands, stand with the application.
"""
