"""Containers while they live: starts and ends, health, readiness, restarts, exec."""
