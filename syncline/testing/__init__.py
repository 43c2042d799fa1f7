"""The test kit: contract suites for adapters of your own."""
