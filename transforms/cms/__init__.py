"""CMS's own files as tables: NPPES, relative values and GPCIs, and Medicare's amounts."""
