"""Published ports: reserved before the container starts, relayed where the kernel can't."""
