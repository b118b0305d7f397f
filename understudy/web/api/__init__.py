"""The REST API and its blueprints, one resource a module.

Handlers parse, call, and encode; rules stand in the rooms they call.
"""
