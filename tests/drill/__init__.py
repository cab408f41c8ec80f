"""`make drill` runs reliability tests in their full sizes, with seeds, and writes what came of it."""
