"""The command `understudy` of a later release."""

import sys

from tests.understudy.storage.later import become
from understudy.cli.main import main

become(int(sys.argv.pop(1)), setattr)
main()
