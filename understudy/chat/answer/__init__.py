"""An answer while it is written: streaming, redaction, resuming in mid-text.

Nothing here knows which model writes.
"""
