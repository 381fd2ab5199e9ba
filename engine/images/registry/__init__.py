"""Registries: references to blobs over HTTP, credentials, pull and push."""
