"""URLs: what they mean, and files behind them."""

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from s3_server import put, s3_bucket

import raytl
from raytl import remote_files
from raytl.config import SourceModelConfig
from raytl.config.study import DomainConfig, TargetDomainConfig
from raytl.data.importers.many_files import files_named
from raytl.errors import CorruptError, ModelError, RaytlError, UserError
from raytl.folders import new_folder
from raytl.modalities.text.hub import folder_of
from raytl.node_cache import local_file, local_folder
from raytl.remote_files import delete, download, exists, file_at, files_in, read_text, upload
from raytl.urls import Url, place_of


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Url]:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    with s3_bucket(monkeypatch) as url:
        yield url


def test_a_file_in_a_url_keeps_what_follows_the_question_mark() -> None:
    url = Url("s3://b/x/?region=eu-west-1") / "train-00000.arrow"
    assert url == "s3://b/x/train-00000.arrow?region=eu-west-1"
    assert url.name == "train-00000.arrow"
    assert url.shown == "s3://b/x/train-00000.arrow"
    assert Url("s3://b").name == "b"


@pytest.mark.parametrize("query", ["", "?region=eu-west-1"])
def test_a_url_without_a_host_keeps_its_slashes(query: str) -> None:
    url = Url(f"local:///data/x{query}")
    assert url / "y.csv" == f"local:///data/x/y.csv{query}"
    assert (url / "y.csv").folder == url
    assert url.folder.folder / "y" == f"local:///y{query}"
    assert url.shown == "local:///data/x"


@pytest.mark.parametrize("scheme", ["local", "memory"])
def test_files_behind_a_url_without_a_host_are_found(scheme: str, tmp_path: Path) -> None:
    folder = Url(f"{scheme}://{tmp_path}/data")
    (tmp_path / "a").write_text("1")
    upload(tmp_path / "a", folder / "part" / "a.csv")
    assert read_text(folder / "part" / "a.csv") == "1" and exists(folder)
    assert (tmp_path / "data" / "part" / "a.csv").is_file() == (scheme == "local")
    assert list(fsspec.filesystem(scheme).find(f"{tmp_path}/data")) == [
        f"{tmp_path}/data/part/a.csv"
    ]
    assert list(files_in(folder)) == ["part/a.csv"]
    (found,) = files_named(f"{folder}/part/*.csv", {".csv"})
    assert found.place == folder / "part" / "a.csv" and found.bytes == 1


def test_a_url_of_slashes_keeps_them() -> None:
    assert Url("s3://b//x") / "y" == "s3://b//x/y"
    assert Url("local:////x").shown == "local:////x"


def test_words_are_urls_or_paths() -> None:
    assert place_of("s3://b/x") == Url("s3://b/x")
    assert place_of("file:///data/x") == Path("/data/x")
    assert place_of("data/x") == Path("data/x")
    assert isinstance(place_of("s3://b/x"), Url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:SECRET@b/x", "s3://KEY@b/x", "gs://b/x?access_token=SECRET", "abfs://c@a/x?sas=S",
        "abfs://c@a.dfs.core.windows.net/x?sv=2024&sig=SECRET",
        "https://b/x?X-Amz-Credential=SECRET", "https://b/x?X-Amz-Signature=SECRET",
        "https://b/x?X-Goog-Credential=SECRET", "https://b/x?X-Goog-Signature=SECRET",
    ],
)  # fmt: skip
def test_credentials_do_not_belong_into_a_url(url: str) -> None:
    with pytest.raises(UserError, match="must hold no credentials") as error:
        place_of(url)
    assert "SECRET" not in str(error.value)
    with pytest.raises(ValueError, match="must hold no credentials"):
        DomainConfig.model_validate({"dataset": url})


def test_a_container_of_azure_is_no_credential() -> None:
    assert Url("abfs://container@account.dfs.core.windows.net/x").name == "x"


def test_a_region_and_a_kind_of_credentials_are_none() -> None:
    url = "gs://b/x?region=r&credential_kind=anonymous&design=1"
    assert Url(url) == url


def test_what_follows_the_question_mark_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_uri(url: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(remote_files, "FileSystem", SimpleNamespace(from_uri=from_uri))
    with pytest.raises(RaytlError, match="^cannot reach s3://far: no route to host$"):
        exists(Url("s3://far/x?region=r"))


def test_a_name_may_have_what_means_something_in_a_url(tmp_path: Path) -> None:
    folder = Url("memory://odd/data")
    for name in ("photo#1.jpg", "is it?.jpg", "100%.jpg", "a%20b%23.jpg"):
        (tmp_path / "a").write_text(name)
        upload(tmp_path / "a", folder / name)
        assert (folder / name).name == name
        assert (folder / name).folder == folder
        assert (folder / name).shown == f"memory://odd/data/{name}"
        assert name in files_in(folder)
        assert read_text(folder / name) == name
        assert Url(folder / name / "b").folder == folder / name
    found = files_named("memory://odd/data/*.jpg", {".jpg"})
    assert [read_text(file.place) for file in found] == sorted(files_in(folder))


def test_a_percent_sign_in_a_url_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    upload(tmp_path / "a", Url("memory://percent/a%20b/100%/c"))
    assert list(fsspec.filesystem("memory").find("/percent")) == ["/percent/a%20b/100%/c"]


def test_a_study_keeps_urls_and_makes_paths_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    url = "s3://b/x?region=eu-west-1"
    domain = TargetDomainConfig.model_validate({"dataset": url})
    assert isinstance(domain.dataset, Url)
    assert domain.model_dump(mode="json")["dataset"] == url
    again = pickle.loads(pickle.dumps(domain))
    assert isinstance(again.dataset, Url) and again == domain
    assert DomainConfig.model_validate({"dataset": "d"}).dataset == tmp_path / "d"
    with pytest.raises(ValueError, match="must be a path or a URL"):
        DomainConfig.model_validate({"dataset": ["d"]})
    for key in ("path", "huggingface"):
        assert getattr(SourceModelConfig.model_validate({key: url}), key) == url
    model = SourceModelConfig.model_validate(
        {"backbone": "bilstm", "weights": "s3://b/w.pth?region=r", "transform": {"vectors": url}}
    )
    assert model.has_local_weights
    assert (model.weights, model.transform["vectors"]) == ("s3://b/w.pth?region=r", url)


def test_files_come_and_go_behind_a_url(bucket: Url, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("ä")
    (tmp_path / "in" / "deep" / "b.txt").write_text("bb")
    put(tmp_path / "in", bucket / "x")
    assert {name: of.bytes for name, of in files_in(bucket / "x").items()} == {
        "a.txt": 2, "deep/b.txt": 2,
    }  # fmt: skip
    assert read_text(bucket / "x" / "a.txt") == "ä"
    assert exists(bucket / "x") and not exists(bucket / "y")
    assert file_at(bucket / "x") is None
    download(bucket / "x" / "a.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "ä"
    delete(bucket / "x" / "a.txt")
    delete(bucket / "x" / "a.txt")
    assert [*files_in(bucket / "x")] == ["deep/b.txt"]
    with pytest.raises(FileNotFoundError):
        read_text(bucket / "x" / "a.txt")


def test_a_server_that_does_not_answer_is_named_in_a_line() -> None:
    url = Url("s3://b/x?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:9")
    with pytest.raises(RaytlError, match="^s3://b/x: cannot read it: ") as error:
        exists(url)
    assert "\n" not in str(error.value)


def test_a_scheme_that_nobody_knows_is_named() -> None:
    with pytest.raises(RaytlError, match="no filesystem for nonsense://"):
        exists(Url("nonsense://b/x"))


def test_a_copy_is_fetched_once_and_anew_when_the_file_changes(bucket: Url, tmp_path: Path) -> None:
    def folder() -> Path:
        return local_folder(bucket / "m", "w.pth", ["w.*"])

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "w.pth").write_text("one")
    put(tmp_path / "in", bucket / "m")
    alone = local_file(bucket / "m" / "w.pth")
    assert alone.name == "w.pth" and alone.read_text() == "one"
    assert (folder() / "w.pth").read_text() == "one"
    (folder() / "w.pth").write_text("mark")
    assert (folder() / "w.pth").read_text() == "mark"
    (tmp_path / "in" / "w.pth").write_text("three")
    put(tmp_path / "in", bucket / "m")
    assert local_file(bucket / "m" / "w.pth").read_text() == "three"
    assert local_file(tmp_path) == tmp_path == local_folder(tmp_path, "w", [])


@pytest.mark.parametrize("tells", [True, False])
def test_a_file_of_the_same_size_is_another_where_no_time_of_change_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    store, url = fsspec.filesystem("memory"), Url(f"memory://{tmp_path}/m/w.pth")
    if not tells:
        ask = type(store).info
        bare = ("name", "size", "type")
        monkeypatch.setattr(
            type(store), "info", lambda self, path: {key: ask(self, path)[key] for key in bare}
        )
    store.pipe(f"{tmp_path}/m/w.pth", b"one")
    assert local_file(url) == local_file(url) and local_file(url).read_text() == "one"
    store.pipe(f"{tmp_path}/m/w.pth", b"two")
    if not tells:
        monkeypatch.setattr("raytl.node_cache.ONCE", "of another process")
    assert local_file(url).read_text() == "two"
    assert (local_folder(url.folder, "w.pth", ["*"]) / "w.pth").read_text() == "two"


def test_weights_that_are_not_behind_the_url_are_the_users_mistake(bucket: Url) -> None:
    config = SourceModelConfig(backbone="small_cnn", weights=str(bucket / "none.pth"))
    with pytest.raises(ModelError, match="s3://bucket/none.pth: no file is there"):
        _ = config.weights_file


@pytest.fixture
def run(bucket: Url, tmp_path: Path) -> Url:
    """A run, with much below it."""
    for name in ("leaderboard.json", "best/source.json", "best/model.safetensors", "best/huge.bin",
                 "prefix/key/0.npy"):  # fmt: skip
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("{}")
    put(tmp_path / "run", bucket / "run")
    return bucket / "run"


def test_a_url_that_is_no_source_model_is_said_before_anything_is_fetched(
    run: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.node_cache.download", lambda *_: pytest.fail("fetched"))
    with pytest.raises(ModelError, match=r"s3://bucket/run: no source model here.*source\.json"):
        _ = SourceModelConfig(path=run).folder
    with pytest.raises(ModelError, match=r"s3://bucket/run: no source model here.*config\.json"):
        folder_of(run)
    with pytest.raises(UserError, match="s3://bucket/run/prefix.*neither a dataset"):
        raytl.inspect(run / "prefix")


def test_of_a_source_model_its_own_files_are_fetched(run: Url) -> None:
    folder = SourceModelConfig(path=run / "best").folder
    assert folder is not None
    assert {file.name for file in folder.iterdir()} == {"source.json", "model.safetensors"}


def test_of_a_run_its_leaderboard_is_fetched(run: Url) -> None:
    with pytest.raises(CorruptError, match="not as `raytl sweep` writes it") as error:
        raytl.inspect(run)
    folder = Path(str(error.value).partition(":")[0]).parent
    assert [file.name for file in folder.iterdir()] == ["leaderboard.json"]


def test_what_takes_more_than_all_copies_may_is_not_fetched(
    run: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "3")
    with pytest.raises(RaytlError, match=r"best: .* take 4 bytes, but .* may take 3; set RAYTL_SH"):
        _ = SourceModelConfig(path=run / "best").folder


def test_a_new_folder_behind_a_url_is_whole_or_not_taken_for_one(
    bucket: Url, tmp_path: Path
) -> None:
    def write(text: str, *, force: bool = False, name: str = "a.arrow") -> None:
        with new_folder(bucket / "d", force) as folder:
            (folder / name).write_text(text)
            (folder / "dataset.json").write_text(text)

    write("1")
    with pytest.raises(UserError, match="exists already"):
        write("2")
    write("3", force=True, name="b.arrow")
    assert {*files_in(bucket / "d")} == {"b.arrow", "dataset.json"}

    def fail() -> None:
        with new_folder(bucket / "e") as folder:
            (folder / "dataset.json").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not files_in(bucket / "e")


def test_a_small_file_is_written_in_one_request(
    bucket: Url, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "small").write_text("x")
    caplog.set_level(logging.INFO, "werkzeug")  # the server's log
    upload(tmp_path / "small", bucket / "small")
    assert [line.split('"')[1].split()[0] for line in caplog.messages] == ["PUT"]
