"""The training of `sanitization`'s classifier of injected orders, on generated texts.

In a checkout: `PYTHONPATH=packaging python -m injection_classifier` writes the weights again.
"""
