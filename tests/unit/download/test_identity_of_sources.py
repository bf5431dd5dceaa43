"""The identity of a source: the user's whole address; of a listed file, the address without its signature."""

from datetime import date

import pytest

from flows.download.sources import Source, distinct_names
from flows.extract.payer_listing import list_payer
from flows.settings.values import PayerSource
from transforms.contents.signatures import own_query

FILE = "https://mrf.example.com/download"
SIGNED = {
    "CloudFront": "?&Expires=17&Signature=a~b-&Key-Pair-Id=K2",
    "CloudFront, custom policy": "?Policy=eyJ&Signature=x&Key-Pair-Id=K2&Hash-Algorithm=SHA256",
    "S3, version 4": "?X-Amz-Algorithm=AWS4&X-Amz-Credential=A%2F2&X-Amz-Date=2&X-Amz-Expires=9&X-Amz-Signature=0f",
    "S3, version 2": "?AWSAccessKeyId=A&Expires=17&Signature=x%3D",
    "Azure": "?sv=2023-11-03&ss=b&srt=o&st=2026&se=2027&spr=https&sp=r&sr=b&sig=x%3D",
    "Azure, of a user": "?skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=5&sv=6&se=7&sr=b&sp=r&sig=x",
    "Google": "?X-Goog-Algorithm=G&X-Goog-Date=2&X-Goog-Signature=0f",
    "Google, version 2": "?GoogleAccessId=me&Expires=17&Signature=x",
    "Akamai": "?hdnts=exp=17~hmac=0f",
    "a token": "?token=0f",
    "nothing": "?",
}


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_a_signature_does_not_identify_a_listed_file(query: str) -> None:
    assert own_query(FILE + query) == ""
    assert own_query(f"{FILE}?f=a&{query[1:]}#x?y") == "?f=a"


@pytest.mark.parametrize("query", ["?f=a", "?st=TX", "?sr=2&sp=1", "?state=TX&plan=2", "?a", "?signatures=2"])
def test_every_other_parameter_names_the_file(query: str) -> None:
    assert own_query(FILE + query) == query


def test_the_users_own_address_identifies_whole_and_a_listed_one_without_its_signature() -> None:
    index = f"{FILE}/index.json"
    own = [Source(f"{FILE}?f=a"), Source(f"{FILE}?f=b"), Source(f"{FILE}?sig=1"), Source(f"{FILE}?sig=2"), Source(FILE)]
    assert len({source.digest for source in own}) == 5
    listed = [Source(f"{FILE}{query}", contents=index) for query in ("", "?sig=1", "?sig=2", "?f=a&sig=1", "?f=a")]
    assert [source.identity for source in listed] == [FILE] * 3 + [f"{FILE}?f=a"] * 2


def test_names_that_differ_in_their_query_alone_get_a_digest() -> None:
    secret = [Source(f"{FILE}?f=secret{number}") for number in range(2)]
    names = distinct_names([*secret, Source("a.json"), Source("a.json", "Aetna")])
    assert names[Source("a.json")] == "a.json"
    assert len(set(names.values())) == 3
    assert all(names[each].startswith(f"{FILE} (query ") and "secret" not in names[each] for each in secret)


def test_files_of_the_configuration_are_as_many_as_their_addresses() -> None:
    listed = list_payer(PayerSource("Acme", files=(f"{FILE}?f=a", f"{FILE}?f=b", f"{FILE}?f=a")), date(2026, 6, 1))
    assert [source.location for source in listed.sources] == [f"{FILE}?f=a", f"{FILE}?f=b"]
