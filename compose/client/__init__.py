"""What a command does in its caller's process: use cases of one project."""
