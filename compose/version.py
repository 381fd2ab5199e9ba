"""Versions: our own (pyproject.toml reads it here), and that of Docker Compose whose commands and files ours are."""

VERSION = "0.1.0"
# The newest whose ways ours are (docs/differences.md): scripts ask for it to know which flags there are, and which keys
# a file may have.
COMPOSE_VERSION = "5.5.0"
# Docker Engine, and the version of its API, whose containers, networks and images ours are.
ENGINE_VERSION = "26.1.5"
API_VERSION = "1.45"
