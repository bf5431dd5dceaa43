"""Tables of contents and payers' own indexes to the distinct in-network files that they list.

``contents`` reads a table of contents event by event; ``scan_contents`` reads it fast, with ``contents_cursor`` (the
position in the bytes), ``open_elements`` (what is open there) and ``contents_decoding`` (complete pieces). ``listing``
reduces what they return to distinct files, with ``names`` and ``signatures``. The keys are those of ``schemas.mrf``.
"""
