"""`tic-rates explain`: from a cell of `summaries` to its observations, rate rows, files and bytes.

The figures are computed anew by ``transforms.benchmark`` and compared with the cell; offsets come from the extracts.
"""
