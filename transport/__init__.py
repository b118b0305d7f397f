"""The wire: WebSockets and HTTP on one port, and the vocabulary of commands and events spoken over it.

The pure half turns frames into commands (`codec`, `forms`, `commands`) and events into the frames of each dialect
(`events`, `dialects`, `encoder`), and keeps what a connection has been given (`session`, `pending`). The other half
moves bytes: the door (`websocket`, `http`), one socket (`socket`), and the actors of a connection (`connection`,
`outbox`). What an agent is, and where events are stored, is not known here: both are handed in as functions.
"""
