"""The bytes of a source: a local file, an http(s) address or an object in object storage.

Downloads are resumed and retried within the limits of each host, and no message contains a secret.
"""
