"""Sources are listed and read, each once: what they came to is cached under their content's name.

Here are the indexes, the readers' set-up, the ledger, remote provider references and the worker processes.
"""
