"""ERNIE 2.0: model and engine. The only room that imports paddle."""
__version__ = "0.1.0"
