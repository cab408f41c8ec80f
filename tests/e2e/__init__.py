"""The whole engine on real servers: departments' databases in, six nodes, subscribers out; and the world breaking meanwhile."""
