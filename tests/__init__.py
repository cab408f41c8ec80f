"""The specification: what the engine must do, said by cases, properties, contracts and whole runs."""
