"""The constraints files: every package that setup.py asks for has an exact version in them, with hashes."""
import ast
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.ernie.runs import ROOT


def declared(*extras: str) -> list[Requirement]:
    """What setup.py asks for."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body
              if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
              and node.targets[0].id in ("REQUIRED", "EXTRAS")}
    return [Requirement(text) for text in values["REQUIRED"] + [t for extra in extras for t in values["EXTRAS"][extra]]]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_constraints_agree_with_setup(device):
    text = (ROOT / "constraints" / f"{device}.txt").read_text()
    entry = r"^([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$"
    entries = re.findall(entry, text, re.M)
    assert len(entries) == len(re.findall("==", text)) > 30  # nothing without a hash
    pinned = {canonicalize_name(name): version for name, version, _ in entries}
    for requirement in declared(device, "zh", "test"):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (str(requirement), version)
