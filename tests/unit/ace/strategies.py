"""Contents and operations for property tests: few names, so that operations meet each other."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from agentcore.ace.content import Bullet
from agentcore.ace.ops import (
    Add,
    Extend,
    Merge,
    Move,
    Operation,
    Put,
    Remove,
    Reserve,
    Set,
    Tag,
    Unset,
    Update,
    apply,
)
from agentcore.kit.jsonvalue import JsonObject

# A busy machine is no fault of an example.
unhurried = settings(deadline=None)

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
texts = st.sampled_from(["Check twice.", "check  twice", "Ask first.", "Cite the source.", "Ü 🜁"])
sections = st.sampled_from(["checks", "style", "## goals"])
bullet_ids = st.sampled_from(["b1", "b2", "b3", "b4", "x-9"])
evidence = st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=3).map(tuple)
paths = st.lists(st.sampled_from(["goals", "limits", "name"]), min_size=1, max_size=2).map(tuple)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["goals", "limits", "name"]), inner, max_size=3)
    ),
    max_leaves=5,
)
counts = st.integers(0, 5)
bullets = st.builds(
    Bullet,
    id=bullet_ids,
    text=texts,
    helpful=counts,
    harmful=counts,
    pinned=st.booleans(),
    evidence=evidence,
    status=st.sampled_from(["active", "retired"]),
)
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Add, section=sections, text=texts, pinned=st.booleans(), evidence=evidence),
    st.builds(Update, id=bullet_ids, text=st.none() | texts, pinned=st.none() | st.booleans()),
    st.builds(Tag, id=bullet_ids, helpful=counts, support=counts, evidence=evidence),
    st.builds(Remove, id=bullet_ids),
    st.builds(
        Merge,
        ids=st.lists(bullet_ids, min_size=2, max_size=3).map(tuple),
        text=st.none() | texts,
    ),
    st.builds(Move, id=bullet_ids, section=sections),
    st.builds(Set, path=paths, value=values),
    st.builds(Unset, path=paths),
    st.builds(Extend, path=paths, items=st.lists(values, min_size=1, max_size=2).map(tuple)),
    st.builds(Put, section=sections, position=st.integers(0, 3), bullet=bullets),
    st.builds(Reserve, next_id=st.integers(1, 5)),
)
batches = st.lists(operations, min_size=1, max_size=6)
owned: st.SearchStrategy[JsonObject] = st.dictionaries(
    st.sampled_from(["goals", "limits", "name"]), values, max_size=3
)


def _full() -> JsonObject:
    shelf = ("checks", "checks", "style", "checks", "style")
    lessons = [Add(section=section, text=f"Lesson {n}.") for n, section in enumerate(shelf)]
    return apply({"goals": ["win"]}, lessons, version=1).content


# With b1 to b5 in it: what is random builds up little by itself.
FULL = _full()
contents: st.SearchStrategy[JsonObject] = st.just(FULL) | owned
