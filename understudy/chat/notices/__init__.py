"""Notices to users' browsers by Web Push: subscriptions, encryption, and the actor that sends.

Its modules are imported by name.
"""
