"""What a server reports about itself: metrics, logs, the tree of actors, its health, the watchdog of its runs.

Nothing here changes what a user gets; HTTP routes of these reports stand in `web`.
"""
