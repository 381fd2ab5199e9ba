"""Without root: a private host per user, in which everything else runs as it does for root."""
