"""What one client gets: every durable event once, in order, and all else as far as there is room.

Bounded; what does not fit is read again from the log.
"""
