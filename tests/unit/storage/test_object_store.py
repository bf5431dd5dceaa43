"""Object storage by URL: objects in a store in memory, and readable errors."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flows.storage.object_store
from flows.download.object_sources import expand_objects, find_object, open_object
from flows.download.open_source import expand
from flows.download.sources import Source, resolve_location
from flows.extract.extract_source import extract
from flows.settings.addresses import split_url
from flows.settings.values import ReadSettings
from flows.storage.layout import Layout
from flows.storage.object_store import Objects, StoreError, _client_options, _explain, _require_role, _shared_profile
from flows.storage.redaction import redact_url
from tests.shared_files import REPOSITORY
from transforms.errors import BadFileError, ContentChangedError, TicRatesError, UnchangedError, UsageError

CANARY = "s3cr3t-c4n4ry"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Objects:
    """An empty bucket in memory."""
    from obstore.store import MemoryStore

    store = MemoryStore()
    monkeypatch.setattr(flows.storage.object_store, "_store", lambda _root: store)
    return Objects("s3://bucket")


def test_objects_are_written_found_listed_copied_and_deleted(bucket: Objects, tmp_path: Path) -> None:
    inside = Objects.of("s3://bucket/out/")
    (tmp_path / "file").write_bytes(b"from a file")
    inside.put("a/1.json", b"one")
    inside.put("a/2.json", tmp_path / "file")
    inside.put("ab/3.json", b"")
    assert [found.key for found in inside.list("a")] == ["a/1.json", "a/2.json"]
    assert [found.key for found in bucket.list()] == ["out/a/1.json", "out/a/2.json", "out/ab/3.json"]
    assert (inside.get("a/2.json"), inside.get("a/3.json"), inside.get("ab/3.json")) == (b"from a file", None, b"")
    found = inside.head("a/1.json")
    assert found is not None
    assert (found.key, found.size) == ("a/1.json", 3)
    inside.copy("a/1.json", "c.json")
    inside.delete(["a/1.json", "a/never.json"])
    assert (inside.head("a/1.json"), inside.get("c.json")) == (None, b"one")
    assert pickle.loads(pickle.dumps(inside)) == inside


def test_an_object_too_large_to_copy_within_the_store_is_read_and_written(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.exceptions import GenericError

    inner = flows.storage.object_store._store("")

    class Small:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def copy(self, *_: str) -> None:
            raise GenericError("<Code>InvalidRequest</Code> larger than the maximum allowable size for a copy source")

    bucket.put("a", b"12345" * 1_000)
    monkeypatch.setattr(flows.storage.object_store, "_store", lambda _root: Small())
    monkeypatch.setattr(flows.storage.object_store, "PIECE_BYTES", 64)
    bucket.copy("a", "b")
    assert bucket.get("b") == b"12345" * 1_000


def test_an_object_is_created_once_and_a_repeated_request_succeeds(bucket: Objects) -> None:
    assert bucket.create("1", b"ours")
    assert not bucket.create("1", b"theirs")
    assert bucket.create("1", b"ours"), "the request was repeated after its answer was lost"
    assert bucket.get("1") == b"ours"


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 57])
def test_an_object_is_read_in_pieces_of_any_size(bucket: Objects, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.storage.object_store, "PIECE_BYTES", 10)
    content = bytes(range(size))
    bucket.put("mrf/a.json", content)
    with open_object(Source("s3://bucket/mrf/a.json")) as stream:
        pieces = list(iter(lambda: stream.read(7), b""))
        stream.finish()
    assert b"".join(pieces) == content
    assert all(len(piece) <= 7 for piece in pieces)


def test_an_object_that_changes_while_it_is_read_is_never_mixed(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.storage.object_store, "PIECE_BYTES", 10)
    bucket.put("a.json", b"a" * 100)
    with (
        pytest.raises(ContentChangedError, match="the object changed"),
        open_object(Source("s3://bucket/a.json")) as stream,
    ):
        stream.read(1)
        bucket.put("a.json", b"b" * 100)
        stream.finish()


def test_an_object_of_the_same_etag_is_not_read_again(bucket: Objects) -> None:
    bucket.put("a.json", b"one")
    source = Source("s3://bucket/a.json")
    with open_object(source) as stream:
        known = stream.validators
    with pytest.raises(UnchangedError), open_object(source, known):
        pass
    bucket.put("a.json", b"two")
    with open_object(source, known) as stream:
        assert stream.read() == b"two"


def test_a_missing_object_is_quarantined_with_the_next_step(bucket: Objects, tmp_path: Path) -> None:
    bucket.put("mrf/a.json", b"{}")
    for key, reason in (("no.json", "no such object; check the address"), ("mrf", "a folder; write it with / at its")):
        with pytest.raises(UsageError, match=reason):
            find_object(f"s3://bucket/{key}")
        layout = Layout(tmp_path)
        layout.prepare()
        outcome = extract(Source(f"s3://bucket/{key}"), layout, ReadSettings(frozenset(["97026"])))
        assert outcome.status == "quarantined"
        assert outcome.reason is not None
        assert outcome.reason.startswith(reason)


def test_an_address_names_an_object_a_folder_or_a_glob(bucket: Objects) -> None:
    bucket.put("m", b"")  # some tools mark a folder so
    bucket.put("m/deep", b"")
    for key in ("m/a.json", "m/b.json.gz", "m/deep/c.json", "m/.hidden/d.json", "m/deep/.e.json", "n/f.json"):
        bucket.put(key, b"12345")

    def names(address: str) -> list[str]:
        return [source.name.removeprefix("s3://bucket/") for source in expand([address])]

    assert names("s3://bucket/m/") == ["m/a.json", "m/b.json.gz", "m/deep/c.json"]
    assert names("s3://bucket") == ["m/a.json", "m/b.json.gz", "m/deep/c.json", "n/f.json"]
    assert names("s3://bucket/m/*.json") == ["m/a.json"]
    assert names("s3://bucket/*/[!ab].json*") == ["n/f.json"]
    assert names("s3://bucket/m/**/?.json") == ["m/.hidden/d.json", "m/a.json", "m/deep/c.json"]
    bucket.put("e/empty.json", b"")
    assert names("s3://bucket/e/") == ["e/empty.json"], "to be quarantined, not left out"
    (source,) = expand(["s3://bucket/n/"])
    assert source.size == 5, "the largest is read first"
    assert names("s3://bucket/never/asked.json") == ["never/asked.json"]
    with pytest.raises(UsageError, match="no object there"):
        expand_objects("s3://bucket/absent/")


def test_names_contain_keys_unchanged(bucket: Objects) -> None:
    key = "s3://bucket/a b#c%20é.json"
    bucket.put("a b#c%20é.json", b"x")
    (source,) = expand([key])
    assert source.name == key
    with open_object(source) as stream:
        assert stream.read() == b"x"


def test_locations_beside_an_object_stay_in_its_folder() -> None:
    contents = Source("s3://bucket/mrf/index.json")
    assert resolve_location("a.json", contents) == "s3://bucket/mrf/a.json"
    assert resolve_location("./deep/a.json", contents) == "s3://bucket/mrf/deep/a.json"
    assert resolve_location("s3://bucket/mrf/a.json", contents) == "s3://bucket/mrf/a.json"
    assert resolve_location("https://a.example.com/b", contents) == "https://a.example.com/b"
    for outside in ("../a.json", "/etc/passwd", "s3://other/mrf/a.json", "s3://bucket/x.json", "file:///etc/passwd"):
        assert resolve_location(outside, contents) is None
    assert resolve_location("s3://bucket/a.json", Source("https://a.example.com/index.json")) is None


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("s3://", "the bucket is missing; write for example s3://bucket/folder"),
        (f"s3://key:{CANARY}@bucket/x", "an address must not contain credentials; set AWS_ACCESS_KEY_ID"),
        ("s3://bucket/a//b", "a key must not have a part that is empty"),
        ("s3://bucket/../b", "a key must not have a part that is empty"),
        ("file://host/x", "three slashes are needed"),
        ("ftp://host/x", "ftp:// is not object storage"),
    ],
)
def test_an_address_that_can_not_be_used_is_refused_without_its_secrets(address: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        split_url(address)
    assert CANARY not in str(caught.value)
    assert CANARY not in redact_url(address)


def _library_errors() -> list[tuple[Exception, type[TicRatesError], str]]:
    from obstore import exceptions as wrong

    signed = f"Error performing GET https://b.s3.example.com/x?X-Amz-Signature={CANARY} in 1s - Server returned "
    return [
        (
            wrong.GenericError(f"{signed}404 Not Found: <Code>NoSuchBucket</Code>"),
            UsageError,
            "s3://b: no such bucket;",
        ),
        (FileNotFoundError("Object at location x not found"), UsageError, "s3://b: no such bucket; create it"),
        (wrong.PermissionDeniedError("lacked the privileges"), UsageError, "access denied; check what"),
        (wrong.GenericError(f"{signed}403 Forbidden: <Code>SignatureDoesNotMatch"), UsageError, "access denied"),
        (
            wrong.GenericError("PUT http://169.254.169.254/latest/api/token"),
            UsageError,
            "no credentials were found; set",
        ),
        (wrong.GenericError("GET http://127.0.0.1:1/b - HTTP error: builder error"), UsageError, "AWS_ALLOW_HTTP=true"),
        (wrong.GenericError(f"{signed}301 Moved: <Code>PermanentRedirect"), UsageError, "set AWS_REGION"),
        (wrong.GenericError(f"{signed}503 Slow Down"), StoreError, "503 Slow Down; run again when the store answers"),
    ]


@pytest.mark.parametrize(("error", "kind", "words"), _library_errors())
def test_errors_state_the_next_step_without_secrets(error: Exception, kind: type[TicRatesError], words: str) -> None:
    explained = _explain("s3://b/x", error)
    assert type(explained) is kind
    assert words in str(explained)
    assert CANARY not in str(explained)
    assert explained.exit_code == (4 if kind is StoreError else 2)


def test_an_outage_is_an_oserror_and_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(StoreError("s3://b: 503; run again")))
    assert isinstance(error, OSError)
    assert str(error) == "s3://b: 503; run again"


def test_an_output_that_can_not_be_written_is_an_error_before_anything_is_read(
    bucket: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.exceptions import PermissionDeniedError

    from flows.publish.publish import prepare_output

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionDeniedError("no")

    class ReadOnly:
        put = refuse

    monkeypatch.setattr(flows.storage.object_store, "_store", lambda _root: ReadOnly())
    with pytest.raises(UsageError, match=r"s3://bucket/out/\.state/writable: access denied"):
        prepare_output(Layout.at("s3://bucket/out"))


def test_a_shared_profile_is_read_if_the_environment_has_no_keys(tmp_path: Path) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = S\n"
        "[work]\naws_access_key_id = B\naws_secret_access_key = T\naws_session_token = U\n"
    )
    (folder / "config").write_text(
        "[profile work]\nregion = us-west-2\nendpoint_url = https://s3.example.com\n[profile sso]\n"
    )
    home = {"HOME": str(tmp_path)}
    assert _shared_profile(home) == {"access_key_id": "A", "secret_access_key": "S"}
    work = {"access_key_id": "B", "secret_access_key": "T", "session_token": "U"}
    there = {"region": "us-west-2", "endpoint": "https://s3.example.com"}
    assert _shared_profile(home | {"AWS_PROFILE": "work"}) == work | there
    assert _shared_profile(home | {"AWS_PROFILE": "work", "AWS_REGION": "x", "AWS_ENDPOINT_URL": "y"}) == work
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        assert _shared_profile(home | {variable: "x"}) == {}
    with pytest.raises(UsageError, match=r"profile sso in .*aws configure export-credentials --profile sso"):
        _shared_profile(home | {"AWS_PROFILE": "sso"})
    assert _shared_profile({"HOME": str(tmp_path / "nobody")}) == {}


def test_a_machine_without_credentials_or_role_fails_at_once() -> None:
    nobody = {"AWS_METADATA_ENDPOINT": "http://127.0.0.1:9"}
    with pytest.raises(UsageError, match="s3://b: no credentials were found; set AWS_ACCESS_KEY_ID"):
        _require_role("s3://b", nobody)
    _require_role("s3://b", nobody | {"AWS_SKIP_SIGNATURE": "true"})


def test_only_the_environment_allows_plain_http() -> None:
    assert "allow_http" not in _client_options("s3", {})
    assert _client_options("s3", {"AWS_ALLOW_HTTP": "true", "AWS_TIMEOUT": "9s"}) == {
        "allow_http": "true",
        "timeout": "9s",
        "connect_timeout": "10s",
    }


def test_stores_are_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "set")
    make: Callable[[str], Any] = flows.storage.object_store._store.__wrapped__
    assert [type(make(root)).__name__ for root in ("s3://b", "gs://b", "az://b", "file://")] == [
        "S3Store",
        "GCSStore",
        "AzureStore",
        "LocalStore",
    ]
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(UsageError, match="az://b: the storage account is not known"):
        make("az://b")


def test_local_folders_never_import_the_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from flows.storage.layout import Layout\n"
        "from flows.publish.publish import prepare_output, change_manifest\n"
        "layout = Layout.at(pathlib.Path(sys.argv[1]))\n"
        "prepare_output(layout); change_manifest(layout, lambda m: None)\n"
        "assert 'obstore' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    )


def test_an_error_while_an_object_is_read_quarantines_it(bucket: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a.json", b"abc")
    objects, found = find_object("s3://bucket/a.json")
    reader = objects.open(found)
    monkeypatch.setattr(reader, "_store", None)
    monkeypatch.setattr(flows.storage.object_store, "_library_errors", lambda: (AttributeError,))
    with pytest.raises(BadFileError, match=r"s3://bucket/a\.json"), reader:
        reader.read()
