"""Which system calls a container may make: policies as data, and the kernel's filter made of them."""
