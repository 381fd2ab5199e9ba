"""The first process of containers with `init: true`: a static program of our own for any image."""
