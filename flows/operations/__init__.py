"""What an operator looks at: the state of an output, metrics, events, retention.

One reading of the manifest and of the runs' records serves `status`, the metrics file and the events.
"""
