"""Docker's Engine API on a socket: for the tools that talk to Docker."""
