"""Real servers for tests: started from the binaries on the machine, on free ports, in folders of their own."""
