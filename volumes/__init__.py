"""Named volumes as plain directories, and how volumes, binds and tmpfs become engine mounts."""
