"""One container from the inside: its root file system, mounts, devices, users, and the child that becomes it."""
