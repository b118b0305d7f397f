"""`python -m benchmarks.orders.train`: see `training`."""

import sys

from .training import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
