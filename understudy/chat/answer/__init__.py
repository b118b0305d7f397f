"""An answer while it is written: streaming, redaction, rendering to HTML, resuming in mid-text.

Nothing here knows which model writes.
"""
