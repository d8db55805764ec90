"""Erase a person, issue the certificate, sweep what is due."""
