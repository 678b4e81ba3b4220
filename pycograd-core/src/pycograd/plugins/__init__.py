"""Plugins: backends, exporters and sets of operations that other distributions bring."""
