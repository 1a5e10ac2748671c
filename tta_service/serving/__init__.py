"""Everything with `await`: the hallway, who may enter it, and what is remembered."""
