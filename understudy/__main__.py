"""`python -m understudy` is the command `understudy`."""

from understudy.cli.main import main

main()
