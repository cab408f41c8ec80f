"""The demo: the real servers, three nodes, one receiver, and departments with synthetic people, in one command."""
