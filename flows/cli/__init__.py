"""What a person types and sees: the commands, their options, what they print, the demo and the data dictionary.

Nothing below imports it.
"""
