"""The catalogue, and plug-ins as real distributions: a folder with an entry point on the path of another Python."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tta_service import Stateless, register_strategy
from tta_service.core.errors import BadParameters, UnknownReducer, UnknownStrategy
from tta_service.reducers import catalogue as reducers
from tta_service.strategies import catalogue as strategies


def test_built_in_entries_are_found_by_name():
    assert {"zero_shot", "mean", "zero", "mta", "tda"} <= set(strategies.names())
    assert strategies.names() == tuple(sorted(strategies.names())) and "none" in reducers.names()


def test_the_error_of_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownStrategy, match=r"no strategy is called 'nope'; there are .*zero_shot"):
        strategies.build("nope")
    with pytest.raises(UnknownReducer, match="no reducer is called 'tda'"):
        reducers.get("tda")


def test_build_accepts_doubles_for_ints():
    strategy = strategies.build("tda", {"alpha": 3.0, "capacity": 5.0, "negative": False})
    assert (strategy.alpha, strategy.capacity, strategy.negative) == (3.0, 5, False)
    assert strategy == strategies.build("tda", {"alpha": 3, "capacity": 5, "negative": False})
    with pytest.raises(BadParameters, match="capacity"):
        strategies.build("tda", {"capacity": 1.5})


def test_the_servers_limits_apply_besides_the_bounds():
    assert strategies.build("zero", {"views": 32}, {"views": 32}).views == 32
    with pytest.raises(BadParameters, match="views is 33; this server allows at most 32") as refusal:
        strategies.build("zero", {"views": 33}, {"views": 32})
    assert refusal.value.field == "parameters.views"
    assert strategies.build("zero", {}, {"views": 32}) == strategies.build("zero", {"views": 32})  # not the default
    with pytest.raises(BadParameters, match="views is 64"):
        strategies.build("zero", {"views": 64}, {"views": 32})
    with pytest.raises(BadParameters, match=r"views: .*greater than or equal to 1"):
        strategies.build("zero", {}, {"views": 0})
    assert strategies.build("zero", {}, {"augment": 1, "steps": 1}) == strategies.build("zero")
    assert strategies.build("zero_shot", {}, {"views": 32}) == strategies.build("zero_shot")


def test_a_description_comes_from_the_modules_docstring():
    description = strategies.describe("zero")
    assert description.summary == "ZERO: the confident views vote at zero temperature."
    assert "arXiv:2405.18330, https://arxiv.org/abs/2405.18330" in description.paper and description.needs.views == 64
    assert [field.name for field in description.parameters] == ["views", "keep", "augment", "agreement", "compat"]
    limited = strategies.describe("zero", {"views": 16})
    assert (limited.needs.views, limited.parameters[0].default, limited.parameters[0].maximum) == (16, 16, 16)
    assert limited.parameters[1:] == description.parameters[1:]


def _make_strategy(frozen: bool = True, default: bool = True) -> type:
    body = {"__annotations__": {"n": "int"}, "adapt": lambda self, seen, memory: (seen.logits()[0], None)}
    return dataclass(frozen=frozen)(type("Made", (Stateless,), body | ({"n": 1} if default else {})))


@pytest.mark.parametrize(
    "name, cls, message",
    [
        ("Bad Name", _make_strategy(), "lower-case"),
        ("made", _make_strategy(frozen=False), "frozen dataclass"),
        ("made", int, "not a Strategy"),
        ("tda", _make_strategy(), "two strategy classes are called 'tda'"),
    ],
)
def test_registration_refuses_invalid_classes(name, cls, message):
    with pytest.raises((TypeError, ValueError), match=message):
        register_strategy(name)(cls)
    assert "made" not in strategies.names()


GOOD = '''
"""Backwards: the least likely class wins. Nobody, nowhere, arXiv:0000.00000."""
from dataclasses import dataclass
from typing import Annotated
from annotated_types import Ge, Le
from tta_service import Stateless, register_strategy

@register_strategy("backwards")
@dataclass(frozen=True)
class Backwards(Stateless):
    push: Annotated[float, Ge(0), Le(10)] = 1.0
    def adapt(self, seen, memory):
        return -self.push * seen.logits()[0], None
'''
BROKEN = GOOD.replace("backwards", "half_made") + "\nraise RuntimeError('this plug-in is broken')\n"
CLASHING = GOOD.replace("backwards", "tda")

ASK = """
import json, logging
logging.basicConfig()
{before}
from tta_service.strategies import catalogue
from tta_service.testing import check_strategy
names = catalogue.names()
if "backwards" in names:
    check_strategy("backwards")
print(json.dumps([names, catalogue.get("tda").__module__]))
"""


def write_distribution(folder: Path, name: str, source: str) -> None:
    """A throw-away distribution with one module behind one entry point."""
    (folder / f"{name}.py").write_text(source)
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[tta_service.strategies]\n{name} = {name}\n")


def read_names(folder: Path, before: str = "") -> tuple[list[str], str, str]:
    """Names, the module that holds `tda`, and the log of another Python with `folder` on its path."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n" + ASK.format(before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not before or "refused" in done.stdout
    names, module = json.loads(done.stdout.splitlines()[-1])
    return names, module, done.stderr


def test_a_plug_in_is_added_and_a_broken_or_clashing_one_is_left_out(tmp_path):
    """Also when a plug-in that takes a built-in name is imported first."""
    for name, source in (("a_broken_one", BROKEN), ("a_clashing_one", CLASHING), ("a_good_one", GOOD)):
        write_distribution(tmp_path, name, source)
    names, module, log = read_names(
        tmp_path, "try:\n    import a_clashing_one\nexcept ValueError:\n    print('refused')"
    )
    assert {"backwards", "zero_shot", "tda"} <= set(names) and "half_made" not in names
    assert module == "tta_service.strategies.tda"
    assert "left out the strategy plug-in a_broken_one" in log and "this plug-in is broken" in log
    assert "left out the strategy plug-in a_clashing_one" in log and "two strategy classes are called 'tda'" in log
    assert "a_good_one" not in log
