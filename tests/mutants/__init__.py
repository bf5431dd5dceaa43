"""Mutation testing of the methodology: small faults planted one at a time, each to be caught by a unit test.

``plant`` makes the faults from the syntax tree, ``targets`` lists the modules and their tests, ``runner`` tries a fault
in a child process, ``survivors`` reads what is known to survive and why (``SURVIVORS.toml``).
"""
