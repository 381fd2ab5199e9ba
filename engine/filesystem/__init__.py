"""A container's files seen from outside: its root, what it changed, trees in and out of it."""
