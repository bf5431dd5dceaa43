"""CMS's files to slim tables: NPPES (providers), relative values, GPCIs and the amounts of the Physician Fee Schedule.

``nppes`` and ``fee_schedule`` read the downloads by column names; ``medicare`` computes amounts from them.
``utilization`` reads who billed for what. ``coverage_exports``, ``ncci`` and ``policies`` read rules of coverage;
``coverage_history`` tells what an edition of them changed.
"""
