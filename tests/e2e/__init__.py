"""The whole engine on real servers: departments' databases in, three nodes, a subscriber out; and the world breaking meanwhile."""
