"""The only code that touches the world: brokers, databases, clocks, processes, sockets."""
