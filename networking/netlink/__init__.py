"""rtnetlink and nfnetlink sockets, and requests encoded once."""
