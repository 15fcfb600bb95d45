"""Where tensors live: which device is chosen, and that nothing takes it for granted that it is the CPU."""

import subprocess
import sys

import pytest
import torch

from engine import device
from tests.topics import ROOT


@pytest.mark.parametrize(("wanted", "cuda", "chosen"), [("", True, "cuda"), ("", False, "cpu"), ("cpu", True, "cpu")])
def test_cuda_is_used_where_it_is_and_not_unwanted(monkeypatch, wanted, cuda, chosen):
    monkeypatch.setenv("LIVESHEET_DEVICE", wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert device.choose() == torch.device(chosen)


def test_a_device_without_float64_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("LIVESHEET_DEVICE", "mps")
    with pytest.raises(ValueError, match="cpu or cuda is expected"):
        device.choose()


def test_a_device_without_memory_says_so_and_gives_back_what_it_held(monkeypatch):
    emptied = []
    monkeypatch.setattr(device, "DEVICE", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A small GPU")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    with pytest.raises(device.DeviceFull, match="A small GPU has no memory left"), device.memory_guard():
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert emptied


def test_views_run_on_a_device_apart_from_the_cpu():
    command = [sys.executable, "-W", "ignore", "-m", "tests.standin"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
