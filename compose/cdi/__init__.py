"""Devices by name (Container Device Interface): what their vendors' specifications put into a container."""
