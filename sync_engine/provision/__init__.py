"""Declared -> actual: what must exist outside the engine for a node to run. Pure; the runtime compares with what exists and acts."""
