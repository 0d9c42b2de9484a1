"""Readers of the published fine-tuning files: one file per format, rows out, every fault named by file and line."""
