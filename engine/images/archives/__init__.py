"""Images as files: docker archives, OCI layouts, tarballs of a root file system."""
