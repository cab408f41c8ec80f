"""Each stage alone beside a plain loop that does the same writes: `python -m tests.bench.lanes`."""
