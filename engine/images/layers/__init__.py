"""Layers: tar streams, compression, and the confined workers that unpack them."""
