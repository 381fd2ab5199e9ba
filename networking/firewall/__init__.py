"""nftables rules, connection tracking, forwarding, and the firewalls of others."""
