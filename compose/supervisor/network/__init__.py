"""A container's way into the networks of its project: addresses, published ports, names, files in /etc."""
