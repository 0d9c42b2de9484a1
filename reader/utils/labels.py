"""The label of what has none."""

IGNORE = -100  # no loss and no metric is computed where a label is this
