"""Agents of other frameworks, one module each. They hold what is particular to a framework, whose extra may be missing.

A module is imported by who uses its framework, and by nothing of the server. What all of them need of a run stands in
`understudy.agents.framework`.
"""
