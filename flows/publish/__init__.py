"""What happens to a built month.

Gates judge it, its tables are put in front of readers at once, and the manifest notes it.
"""
