"""The log file of a container: written, rotated, read, followed; and journald."""
