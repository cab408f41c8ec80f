"""Many keys on disk: memory, restore, and what a change costs at several processes: `python -m tests.bench.scale`."""
