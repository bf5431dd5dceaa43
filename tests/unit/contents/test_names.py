"""Names in bounded number are the first of a set and say whether it had more, in whatever order they come together."""

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.contents.names import MAX_NAMES, NO_NAMES, Names, name_of, names_of

STABLE = settings(max_examples=300, deadline=None, derandomize=True, database=None)
TEXTS = st.lists(st.one_of(st.none(), st.sampled_from(("", " ")), st.integers(0, 60).map(lambda n: f" n{n:02} ")))


def plainly(texts: list[str | None]) -> Names:
    distinct = sorted({text.strip() for text in texts if text and text.strip()})
    return Names(tuple(distinct[:20]), len(distinct) > 20)


@STABLE
@given(TEXTS)
def test_names_are_the_first_of_the_distinct_ones_and_say_when_there_are_more(texts: list[str | None]) -> None:
    assert names_of(texts) == plainly(texts)
    one_by_one = NO_NAMES
    for text in texts:
        one_by_one = one_by_one.plus(name_of(text))
    assert one_by_one == plainly(texts)


@STABLE
@given(st.lists(TEXTS, min_size=2, max_size=4))
def test_names_put_together_are_those_of_all_texts(lists: list[list[str | None]]) -> None:
    together = NO_NAMES
    for texts in lists:
        together = together.plus(names_of(texts))
    assert together == plainly([text for texts in lists for text in texts])


def test_a_shortened_list_says_so_and_a_full_one_does_not() -> None:
    names = [f"n{n:02}" for n in range(MAX_NAMES + 1)]
    full, shortened = names_of(names[:-1]), Names(tuple(names[:-1]), cut=True)
    assert not full.cut
    assert names_of(names) == full.plus(name_of(names[-1])) == name_of(names[-1]).plus(full) == shortened
    assert full.plus(full) == full and shortened.plus(full) == full.plus(shortened) == shortened
    assert full.plus(names_of(names[1:])) == shortened.plus(NO_NAMES) == NO_NAMES.plus(shortened) == shortened
