"""The commands, by what they work on: months, files, reference data, published tables, operations."""
