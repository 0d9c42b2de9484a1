"""The bits that a corpus keeps of every token, and the kinds of unit that knowledge masking hides whole."""
WORD_START, UNIT_START, KIND, CAPITAL = 1, 2, 0b1100, 16  # bits of a flag; KIND holds one of the three kinds below
KIND_SHIFT = 2
WORD, PHRASE, ENTITY = 0, 1, 2
KIND_NAMES = ("word", "phrase", "entity")
