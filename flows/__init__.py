"""WHEN and WHERE: the only place that knows Prefect, files, the network, the clock and the environment."""
