"""The AG-UI protocol as one more encoding of the same events."""
