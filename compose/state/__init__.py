"""What lies on disk about projects: records, whose they are, and what is left of dead ones."""
