"""The resolve stage against two others that do the same work, side by side in one run. TOPOLOGY.md says what the work is."""
