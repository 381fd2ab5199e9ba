"""The process that looks after one project while its containers run."""
