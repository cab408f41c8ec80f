"""The oracle: docs/merge.md said a second time, slowly and plainly. Shares no code with sync_engine; a test holds it to that."""
