"""Containers, images, volumes and networks of the whole machine, in docker's nouns."""
