"""A synthetic market with known answers: payers, providers, prices, files and NPPES records."""
