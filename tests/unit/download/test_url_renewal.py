"""New addresses for files whose signatures expired: from one reading of each index, as the run was configured."""

from dataclasses import replace
from pathlib import Path

import pytest

import flows.extract.payer_listing
from flows.download.sources import Source
from flows.download.url_renewal import KEPT_SECONDS, UrlRenewals
from flows.extract.payer_listing import Listed, renewal
from flows.settings.values import Fetching, ReadSettings
from flows.storage.layout import Layout
from transforms.errors import BadFileError
from transforms.limits import Limits

FILE = "https://mrf.example.com/a.json"
INDEX = "https://mrf.example.com/index.json?sig=1"


def listed(contents: str = INDEX, **more: object) -> Source:
    return Source(f"{FILE}?sig=old", contents=contents, **more)  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Index:
    """Lists another signature each time it is read."""

    def __init__(self) -> None:
        self.read: list[Source] = []

    def __call__(self, contents: Source) -> dict[str, str]:
        self.read.append(contents)
        return {FILE: f"{FILE}?sig={len(self.read)}"}


def test_an_index_is_read_once_for_all_of_its_files_and_again_later() -> None:
    index, clock = Index(), Clock()
    renew = UrlRenewals(index, clock)
    assert [renew(listed()), renew(listed())] == [f"{FILE}?sig=1"] * 2
    clock.now += KEPT_SECONDS + 1
    assert renew(listed()) == f"{FILE}?sig=2"


def test_a_file_without_an_index_or_with_the_same_address_has_no_new_one() -> None:
    renew = UrlRenewals(Index())
    assert renew(Source(FILE)) is None
    assert renew(Source(f"{FILE}?sig=1", contents=INDEX)) is None
    assert renew(Source("https://mrf.example.com/b.json", contents=INDEX)) is None


def test_an_index_is_read_as_the_users_own_source_with_its_payers_headers() -> None:
    index = Index()
    renew = UrlRenewals(index)
    for headers in ((("Key", "one"),), (("Key", "two"),)):
        renew(listed(headers=headers, origins=("https://mrf.example.com",)))
    assert [(each.location, each.contents, each.headers) for each in index.read] == [
        (INDEX, None, (("Key", "one"),)),
        (INDEX, None, (("Key", "two"),)),
    ]
    assert {each.origins for each in index.read} == {("https://mrf.example.com",)}


def test_an_index_that_can_not_be_read_is_not_read_again_for_each_of_its_files() -> None:
    asked = []

    def refuse(contents: Source) -> dict[str, str]:
        asked.append(contents)
        raise BadFileError("the server answers 403")

    renew = UrlRenewals(refuse)
    for _ in range(2):
        with pytest.raises(BadFileError, match=r"contents https://mrf\.example\.com/index\.json can't be read"):
            renew(listed())
    assert len(asked) == 1


def test_an_index_is_read_again_with_the_limits_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    settings = ReadSettings(engine="ijson", fetching=Fetching(bounds=Limits(json_depth=30)))
    seen = []

    def sources_of(_contents: Source, *given: object, follow: object) -> Listed:
        assert callable(follow)
        seen.append(given)
        return Listed((Source(f"{FILE}?sig=new", contents=INDEX),), ())

    monkeypatch.setattr(flows.extract.payer_listing, "sources_of", sources_of)
    assert renewal(layout, settings)(listed()) == f"{FILE}?sig=new"
    assert seen == [(layout, settings)]
    assert renewal(Layout(tmp_path), replace(settings)) is renewal(layout, settings)
