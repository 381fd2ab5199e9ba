"""The loader: YAML text to a canonical tree to a typed Project, one module per phase."""
