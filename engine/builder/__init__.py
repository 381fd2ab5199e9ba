"""Builds images from Dockerfiles: parsed, laid out as a graph of steps, run, cached, committed as layers."""
