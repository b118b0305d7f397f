"""Incidents on real parts, one for each alert: what causes it, and how it ends."""
