"""The `container` group: docker's commands for one container."""
