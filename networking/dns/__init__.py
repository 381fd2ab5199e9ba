"""The embedded DNS server of each container, at 127.0.0.11."""
