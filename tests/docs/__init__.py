"""The documentation read as data: its blocks, links and headings, and the pages and pictures that are generated."""
