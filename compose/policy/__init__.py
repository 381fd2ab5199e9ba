"""Decisions without side effects: same input, same answer, tested as data."""
