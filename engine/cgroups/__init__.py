"""Resource limits as files: pure translation, then one dumb writer per cgroup version."""
