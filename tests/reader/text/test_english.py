"""The English rules, on sentences a person can judge."""
import pytest

from reader.text.annotators.english import English
from tests.reader.texts import opened, sentences, units


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return opened("english", tmp_path_factory.mktemp("learnt"), names=["london", "smith", "york"],
                  phrases=["in front of", "living room", "very large living room", "civil war"])


@pytest.mark.parametrize("parts", [
    ["The cat sat.", "It ran!", "Did it?", "Yes."],
    ["Mr. Smith met Dr. J. R. Brown at 3.14 p.m. on St. John's Rd. near No. 5."],
    ["He works at Acme Inc. in London.", "She left the U.S. in May."],
    ["They moved to the U.S.", "The move was hard."],
    ["“It is late,” he said.", "“Go!”", "She went."],
    ['"It is late." he said.', '"Go!"', "She went."],
    ["It ended (at last.)", "[Then it began.]", "1990 was good."],
    ["\"Really?\" he asked.", "“Why?” she said."],
    ["He said no.", "Then he left ... and came back...", "Once."],
    ["1. Preheat the oven.", "2 eggs are enough."],
    ["It was he who said etc. and so on.", "E.g. this one."],
    ["' Hello . '", "' Go away ! '"],
])
def test_sentences(english, parts):
    assert sentences(english, " ".join(parts)) == parts


@pytest.mark.parametrize("text, expected", [
    ("Yesterday John Smith met Mary in New York City.", ["John Smith", "Mary", "New York City"]),
    ("He joined the University of Oxford and the Bank of the West.", ["University of Oxford", "Bank of the West"]),
    ("We saw Dr. Brown, J. R. R. Tolkien and Jean-Paul de la Croix.", ["Dr. Brown", "J. R. R. Tolkien",
                                                                     "Jean-Paul de la Croix"]),
    ("London is large.", ["London"]), ("Cats are small.", []), ("Smith said so.", ["Smith"]),
    ("However, I think The Hague is fine.", ["Hague"]),
    ("They went home. Mary Smith stayed.", ["Smith"]),
    ("He left the US because it helped us; IT and WHO agree.", ["US", "IT", "WHO"]),
    ("US troops left.", ["US"]), ("TELL US WHO IT IS", None),
    ("This Is A Very Long Heading With Many Words In All Of Its Capitals Everywhere.", None),
])
def test_entities(english, text, expected):
    found = [unit for unit, kind in units(english, text, ("entity",))]
    if expected is None:
        assert all(len(unit.split()) <= 8 for unit in found)
    elif text.startswith("They"):
        assert found in (["Mary Smith"], ["Smith"])
    else:
        assert found == expected


@pytest.mark.parametrize("text, expected", [
    ("It was a large living room in front of us.", ["large living room", "in front of"]),
    ("The living, room, in front. Of all, the room.", []),
    ("We like civil war\u00a0stories", ["civil war\u00a0stories"]),
    ("The prime minister took the most important decisions.", ["prime minister", "important decisions"]),
    ("He can book rooms and they walk home.", []),
    ("I've got it and don't know John's old father.", ["old father"]),
    ("The old broken chair saw a long walk; broken promises", ["old broken chair", "long walk"]),
    ("a well-known actor of the six-year-old girl", ["well-known actor", "six-year-old girl"]),
    ("the big old brown wooden garden fence", ["brown wooden garden fence"]),
    ("They slept. Old houses burned. Fires went out", ["Old houses"]),
])
def test_phrases(english, text, expected):
    assert [unit for unit, kind in units(english, text, ("phrase",))] == expected


def test_no_phrase_is_mined_of_contractions(tmp_path):
    sample = [["I've got a chair and they've got it, he'd better go, don't know, don't know."]] * 20
    English.mine(sample, tmp_path)
    words = {word for line in (tmp_path / "phrases.txt").read_text().split("\n") for word in line.split()}
    assert not words & {"ve", "d", "t"}
