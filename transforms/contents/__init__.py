"""Tables of contents and payers' own indexes to the distinct in-network files that they list.

``read_index`` streams a document: ``complete_children`` splits its bytes into complete parts, ``index_grammar`` finds
what a decoded part lists, as ``index_values``. ``listing`` reduces these to distinct files, with ``names`` (bounded
sets of names) and ``signatures`` (of addresses). The keys are those of ``schemas.mrf``.
"""
