"""A synthetic market with known answers, for the demo and for acceptance tests. Imports schemas only.

In reading order: ``providers`` and ``prices`` are the parts, ``market`` combines them into contracts and offers,
``layouts``, ``items`` and ``documents`` write the offers as payer files, ``nppes`` and ``utilization`` write CMS's
files of providers and of the services that they billed, and ``answers`` computes the expected summaries from the
contracts alone. ``rules`` writes two editions of coverage rules, and ``rule_answers`` states what is published of them.
"""
