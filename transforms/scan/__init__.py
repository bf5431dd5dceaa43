"""The same rows as `transforms.read`, fast: the structure is walked first, and only what is wanted is decoded."""
