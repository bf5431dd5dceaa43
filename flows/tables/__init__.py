"""Published tables from extracts and reference data: provider lookups, fee schedules, each payer's part, the month."""
