"""What may be set: `tic-rates.toml` and the environment, as validated values.

Every other room of `flows` may import it.
"""
