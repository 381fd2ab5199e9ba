"""The docker command line's side: its words for our commands, being its `compose` plugin, standing in for it.

Looked at before anything else is loaded (entry.py), so modules here import next to nothing at their top.
"""
