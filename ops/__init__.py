"""The commands that run, test and measure Consentry on one machine."""
