"""The demo: the real servers, six nodes, their subscribers, and departments with a synthetic world, in one command."""
