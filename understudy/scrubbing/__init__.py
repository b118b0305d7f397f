"""What users send, what tools return and what goes out, each looked through before anybody else has it."""
