"""The methodology (CONTRACT section 4) as pure functions of tables. It imports schemas only and can be read by itself.

The modules in the methodology's order, with CONTRACT's words for what each does:

1. ``resolve``: *Resolve*. Extracts of files to distinct pairs of a price and a provider (NPI and TIN).
2. ``payers``: *Payer*. Reporting entity names to payers, by the reviewed table.
3. ``taxonomy``: *Taxonomy tier*. The best tier among an NPI's taxonomies.
4. ``exclude``: *Exclude*. The first rule that a rate row fails.
5. ``rates``: pairs, NPPES facts and exclusions together: the published table ``rates``.
6. ``representative_rates``: *Representative rate*, *Outliers*. The published table ``providers``.
7. ``evidence``: *Evidence*. Which providers bill Medicare for a code, and how many services.
8. ``percentiles``: medians, means and percentiles (Hyndman-Fan type 7), exact in any order of the rows.
9. ``summarize``: *Observations*, *Medicare*. The published table ``summaries``.
10. ``networks``: the same per network of one payer. The published table ``network_summaries``.
11. ``practice``: one provider's or group's own rates, and why others of it do not count.
12. ``market_position``: where these stand in the market. The published table ``practices``.

*Match* and *Clean* happen earlier, while files are read (``transforms.read``). All amounts are US dollars per service.
"""
