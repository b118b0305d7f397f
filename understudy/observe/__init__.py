"""What a server tells about itself: metrics, logs, the arcs of its runs, its health."""
