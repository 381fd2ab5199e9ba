"""What can be asked of a supervisor, one module per kind of request."""
