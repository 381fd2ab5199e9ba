"""Bridges, veth pairs, addresses, firewall, published ports and DNS."""
