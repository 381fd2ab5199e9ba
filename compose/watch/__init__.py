"""Live reload: files outside → files in containers (`develop.watch`)."""
