"""Local accounts: invites, passwords, and the sessions of users whom this server itself knows.

Revocation and tokens are those of `understudy.auth`. No routes and no commands stand here.
"""
