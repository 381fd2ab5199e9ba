"""One function per system call, under the kernel's name."""
