"""Load on a running server: scripted people over real sockets, and checks of the protocol's promises.

`histogram`, `promises` and `tally` are pure: no sockets, no clock. Parsing of arguments stands in `understudy/cli`.
"""
