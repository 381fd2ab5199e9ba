"""Compose files → a project; `pycompose.config.load` is the way in."""
