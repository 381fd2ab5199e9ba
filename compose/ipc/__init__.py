"""The control socket between a command and its project's supervisor, both ends."""
