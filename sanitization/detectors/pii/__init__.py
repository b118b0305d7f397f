"""The detector of personal data: one module a family of numbers or addresses, with its check digits.

Passwords and keys are not personal data; they stand in `secrets`.
"""
