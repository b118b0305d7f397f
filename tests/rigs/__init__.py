"""What tests of several folders share: each module makes one thing, such as a server, a client, an agent or a store."""
