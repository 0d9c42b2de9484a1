"""One self-contained HTML page about a pre-training run: ``runs`` reads, ``charts`` draws, ``page`` puts together."""
