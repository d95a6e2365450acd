"""Models, encoders, packs and runs after a kill, a full disk, or a reader at the wrong moment: the old or the new one, and no litter."""

import errno
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.backbones import load_backbone
from gerund.core import files
from gerund.core.errors import ModelError, UsageError
from gerund.core.types import FeatureSpec
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.packed import Pack, pack
from gerund.features.tokens import Sampling
from gerund.heads import build_head
from gerund.learning.checkpoint import write_checkpoint
from gerund.learning.encoder import load_encoder, save_encoder
from gerund.recognition.folder import find_model
from gerund.recognition.recognizer import Recognizer
from gerund.video import pool as decoding
from support.killing import all_kills

pytestmark = pytest.mark.torch

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
SAMPLING = Sampling(num_frames=4)


def recognizer(*labels: str) -> Recognizer:
    backbone = load_backbone("pixels:8")
    dim = SAMPLING.token_dim(backbone.feature_dim)
    head = build_head("mean", token_dim=dim, num_classes=len(labels), num_frames=4, options={})
    return Recognizer(
        labels=labels,
        extractor=Extractor(backbone, fps=8.0, cache=FeatureCache()),
        sampling=SAMPLING,
        head=head,
        head_name="mean",
        head_options={},
    )


@pytest.fixture
def one_thread():
    """A forked process has none of its parent's threads, so torch must not wait for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@needs_fork
def test_a_model_killed_while_it_is_saved_is_the_old_or_the_new_one(tmp_path, one_thread):
    old, new = recognizer("a", "b"), recognizer("a", "b", "c")
    folder, found = tmp_path / "run" / "best", []
    old.save(folder)
    for _ in all_kills(tmp_path / "run", lambda: new.save(folder)):
        found.append(len(Recognizer.load(tmp_path / "run").labels))
        assert Recognizer.load(folder).labels[0] == "a"
        assert find_model(folder).is_dir()
        old.save(folder)
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["best"]
    assert found == sorted(found)
    assert set(found) == {2, 3}


@pytest.mark.parametrize("what", ["README.md", "config.json"])
def test_a_disk_that_fills_while_a_model_is_saved_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, what):
    folder = tmp_path / "best"
    recognizer("a", "b").save(folder)
    write = Path.write_text

    def full(self, text, **options):
        if self.name == what:
            write(self, text[:10], **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ModelError, match=r"the model cannot be saved \(No space left on device\)"):
        recognizer("a", "b", "c").save(folder)
    assert Recognizer.load(folder).labels == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_who_loads_while_a_model_is_replaced_again_and_again_gets_one_of_them(tmp_path):
    models = [recognizer("a", "b"), recognizer("a", "b", "c")]
    models[0].save(tmp_path / "best")
    over = threading.Event()

    def replace_it():
        while not over.is_set():
            for model in models:
                model.save(tmp_path / "best")

    writer = threading.Thread(target=replace_it)
    writer.start()
    try:
        seen = {len(Recognizer.load(tmp_path / where).labels) for _ in range(15) for where in (".", "best")}
    finally:
        over.set()
        writer.join()
    assert seen <= {2, 3}


def test_a_backbone_is_there_when_its_folder_has_been_replaced_since_the_model_was_loaded(tmp_path):
    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    dim = SAMPLING.token_dim(backbone.feature_dim)
    head = build_head("mean", token_dim=dim, num_classes=2, num_frames=4, options={})
    Recognizer(
        labels=["a", "b"],
        extractor=Extractor(backbone, fps=8.0, cache=FeatureCache()),
        sampling=SAMPLING,
        head=head,
        head_name="mean",
        head_options={},
    ).save(tmp_path / "best")
    loaded = Recognizer.load(tmp_path / "best")
    shutil.rmtree(tmp_path / "best")
    pictures = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded.backbone.module(pictures), backbone.module(pictures))


def encoder(seed: int) -> torch.nn.Module:
    options = {"width": 8, "dense_width": 8}
    return build_head("transformer", token_dim=8, num_classes=1, num_frames=4, options=options, seed=seed).module


@needs_fork
def test_an_encoder_killed_while_it_is_saved_is_the_old_or_the_new_one(tmp_path, one_thread):
    old, new = encoder(0), encoder(1)
    run, use, found = tmp_path / "run", {"fps": 8.0}, []
    run.mkdir()
    save_encoder(old, use, run)
    for _ in all_kills(run, lambda: save_encoder(new, use, run)):
        head = encoder(2)
        load_encoder(run, head, use)
        found.append([torch.equal(head.state_dict()["positions"], each.state_dict()["positions"]) for each in (old, new)])
        save_encoder(old, use, run)
        assert [path.name for path in run.iterdir()] == ["best"]
    assert [True, False] in found
    assert [False, True] in found
    assert [False, False] not in found


def test_an_encoder_saved_beside_its_table_is_still_read(tmp_path):
    save_encoder(encoder(0), {"fps": 8.0}, tmp_path)
    for path in (tmp_path / "best").iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / "best").rmdir()
    head = encoder(1)
    load_encoder(tmp_path, head, {"fps": 8.0})
    assert torch.equal(head.state_dict()["positions"], encoder(0).state_dict()["positions"])


@needs_fork
def test_a_pack_killed_anywhere_is_finished_by_the_next_one_with_its_digests(tmp_path):
    store = FeatureCache(tmp_path / "cache")
    specs = [FeatureSpec(backbone=name, fps=8.0) for name in ("one", "two")]
    for spec in specs:
        for number in range(2):
            rows = np.full((5, 3), number, np.float16)
            store.write_block(spec, f"{number:032x}", 0, rows, np.arange(5.0), last=True)
    store.remember("memory://a.mp4", f"{1:032x}")
    out = tmp_path / "out"
    deaths = 0
    for _ in all_kills(out, lambda: pack(tmp_path / "cache", out), step=3):
        deaths += 1
        if any(path.is_dir() and not path.name.startswith(".") for path in out.glob("*")):
            assert (out / "digests.txt").read_bytes() == (store.folder / "digests.txt").read_bytes()
        try:
            pack(tmp_path / "cache", out)
        except UsageError as error:
            assert "packed already" in str(error)
        assert sorted(path.name for path in out.iterdir()) == sorted([*(spec.digest for spec in specs), "digests.txt"])
        for spec in specs:
            assert Pack(out / spec.digest).get(f"{1:032x}", spec).data[0:5].tolist() == [[1.0] * 3] * 5
        shutil.rmtree(out)
    assert deaths > 5


def test_a_pack_of_before_without_its_digests_is_given_them(tmp_path):
    store, spec = FeatureCache(tmp_path / "cache"), FeatureSpec(backbone="one", fps=8.0)
    store.write_block(spec, f"{1:032x}", 0, np.zeros((5, 3), np.float16), np.arange(5.0), last=True)
    store.remember("memory://a.mp4", f"{1:032x}")
    pack(tmp_path / "cache", tmp_path / "out")
    (tmp_path / "out" / "digests.txt").unlink()
    with pytest.raises(UsageError, match="packed already"):
        pack(tmp_path / "cache", tmp_path / "out")
    assert (tmp_path / "out" / "digests.txt").is_file()


def test_a_disk_that_fills_while_a_checkpoint_is_written_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    def full(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    (tmp_path / "last.ckpt").write_bytes(b"old")
    loop = SimpleNamespace(optimizer=torch.optim.Adam([torch.zeros(1)]), schedule=None)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path / "last.ckpt", torch.nn.Linear(1, 1), loop, [])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("last.ckpt", b"old")]


@needs_fork
def test_memory_shared_with_a_decoder_of_a_killed_process_is_given_back_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "shared_memory_folder", lambda: str(tmp_path))
    child = os.fork()
    if not child:
        decoding.shared_memory(4096)
        os._exit(9)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    own = decoding.shared_memory(4096)
    assert not left.exists()
    assert list(tmp_path.iterdir()) == [own]
    assert own.stat().st_size == 4096


def test_a_run_that_was_killed_before_its_first_checkpoint_or_has_none_begins_anew(tmp_path):
    clips = tmp_path / "clips"
    for label, level in (("dark", 40), ("light", 200)):
        for number in range(4):
            path = clips / label / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures = (np.full((32, 32, 3), level + index, np.uint8) for index in range(6))
            video.write(path, pictures, fps=8)
    done = gerund.train(clips, backbone="pixels:8", num_frames=4, out=tmp_path / "run")
    before = done.metrics
    shutil.rmtree(done.model)
    (done.run / files.beside(done.model, f"{files.HOST}-999999999-1").name).mkdir()
    (done.run / "metrics.json").unlink()
    again = gerund.train(resume=done.run)
    assert again.metrics == before
    assert Recognizer.load(done.run).labels == ["dark", "light"]
    assert len((done.run / "results.csv").read_text().splitlines()) == 2
    assert not list(done.run.glob(".*"))
