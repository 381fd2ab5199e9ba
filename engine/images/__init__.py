"""The content-addressed image store and everything that fills it."""
