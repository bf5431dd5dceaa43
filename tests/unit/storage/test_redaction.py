"""Redaction: what is printed, logged or stored of an address holds no query and no credentials."""

import pytest

from flows.storage.redaction import redact_text, redact_to_host, redact_unresolved, redact_url

SECRET = "S3CRET"


@pytest.mark.parametrize(
    ("location", "redacted"),
    [
        ("https://h.example/a.json", "https://h.example/a.json"),
        (f"https://u:{SECRET}@h.example:8443/a.json?sig={SECRET}#{SECRET}", "https://h.example:8443/a.json"),
        (f"https://[{SECRET}", "https://(an address that can't be parsed)"),
        (f"s3://{SECRET}@bucket/a?b", "s3://bucket/a?b"),  # a question mark may be part of a key
        ("folder/a?b.json", "folder/a?b.json"),
    ],
)
def test_urls_lose_queries_fragments_and_credentials_and_paths_lose_nothing(location: str, redacted: str) -> None:
    assert redact_url(location) == redacted


def test_every_address_in_a_text_is_redacted() -> None:
    text = f"GET 'https://u:{SECRET}@h.example/a?sig={SECRET}' and ftp://h.example/b?{SECRET} (no answer?)"
    assert redact_text(text) == "GET 'https://h.example/a' and ftp://h.example/b (no answer?)"


def test_queries_of_object_storage_addresses_are_removed_from_error_texts() -> None:
    assert redact_text(f"az://box/a?sig={SECRET} is gone") == "az://box/a is gone"


@pytest.mark.parametrize("location", [f"//h.example/a?{SECRET}", f"htps:/h.example/{SECRET}", f"a.json?{SECRET}"])
def test_mistyped_addresses_are_redacted_too(location: str) -> None:
    assert SECRET not in redact_unresolved(location)


def test_a_webhook_is_shown_as_its_host_alone() -> None:
    assert redact_to_host(f"https://hooks.example/services/{SECRET}?{SECRET}") == "hooks.example"
    assert redact_to_host(f"https://[{SECRET}") == "(no address)"
    assert redact_to_host("") == "(no host)"
