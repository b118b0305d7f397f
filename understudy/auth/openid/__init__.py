"""Sign-in of users at an identity provider by OpenID Connect: the code flow with PKCE, and sessions that it can end.

The browser gets a token of this server and none of the provider's: those are kept sealed in the database. No routes
stand here.
"""
