"""An event-driven change synchronization engine for government data. Read `topology.py` first."""

__version__ = "0.1.0"
