"""Tables of contents and payers' own indexes, in any size, to the distinct files that they list."""
