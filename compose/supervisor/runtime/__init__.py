"""What an operation of the plan does to a container: its configuration, its mounts, and the engine that runs it."""
