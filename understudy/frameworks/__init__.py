"""Agents of other frameworks, one module each. They hold what is particular to a framework, whose extra may be missing.

A module is imported by who uses its framework, and by nothing of the server. What they share stands in `work`, and what
they need of a run in `understudy.agents.framework`.
"""
