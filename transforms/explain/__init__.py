"""A published figure walked back: the observations of a cell of `summaries`, its figures computed anew, its rate rows.

``views`` chooses the rows of ``summaries`` that head a page, ``cells`` has the members and the figures of one cell,
``statements`` finds the items and provider references of an extract that state a rate row.
"""
