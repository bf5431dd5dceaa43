"""What happens to a built month.

Gates check it, its tables replace the published ones at once, and the manifest describes it.
"""
