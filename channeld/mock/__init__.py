"""A live source for development and tests: a test pattern over any protocol that a relay reads, with faults on a schedule."""
