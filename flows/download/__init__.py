"""The bytes of a source: a local file, http(s) or object storage.

Downloads are resumed and retried, polite to hosts, and no message holds a secret.
"""
