"""What Claude may say, for hypothesis to draw."""

from hypothesis import strategies as st

from tests.fakes.anthropic_upstream import redacted, text, thinking, tool_use

WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40)
NAMES = st.text("abcdefghij_", min_size=1, max_size=8)
INPUTS = st.dictionaries(NAMES, st.one_of(WORDS, st.integers(-9, 9), st.none()), max_size=3)
BLOCKS = st.lists(
    st.one_of(
        st.builds(text, WORDS),
        st.builds(thinking, WORDS, WORDS),
        st.builds(redacted, WORDS),
        st.builds(tool_use, NAMES, INPUTS, NAMES),
    ),
    max_size=5,
)
COUNTS = st.integers(0, 100_000)
USAGES = st.fixed_dictionaries({
    "input_tokens": COUNTS, "output_tokens": st.integers(1, 100_000), "cache_read_input_tokens": COUNTS,
    "cache_creation_input_tokens": COUNTS,
})  # fmt: skip
ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
