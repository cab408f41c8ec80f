"""The command line as people and scripts meet it: languages, JSON, exit codes, completion."""
