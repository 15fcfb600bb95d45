"""A device of our own that stands in for a GPU: its tensors live apart, and no operation takes some of here and there.

Its arithmetic is the CPU's, behind a wall. What would fail on a GPU for want of a `.to(DEVICE)` or a `.cpu()` fails on
it too, on any machine. It lacks `squeeze_` (vector @ matrix) and `.data = ` from a parameter of the CPU.
`python -m tests.standin [--all]` computes the first frames of views on it.
"""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "standin"
LONG = ("adapt", "between", "digits", "factors", "glyphs", "holes", "image", "population", "reuse", "universal")
MOVES = ("_to_copy", "copy_")  # operations whose tensors may be on two devices
INDEXED = ("index", "index_put_", "_unsafe_index")  # as on a GPU, the places may be named by a tensor on the CPU
OWN = ("copy_", "arange", "arange.start", "arange.start_step", "eye", "eye.m")  # torch's own would resize a result


class Far(Tensor):
    """A tensor on the device; `raw` is its content. As on a GPU, `numpy()` raises."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Far":
        far = Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls, raw.shape, strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        far.raw = raw
        return far

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, *args, **(kwargs or {}))

    def tolist(self) -> Any:
        return self.raw.tolist()

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, new: "Far") -> None:
        self.raw = new.raw


def compute(func: Any, *args: Any, **kwargs: Any) -> Any:
    """One operation: refused where it mixes devices, else done on the contents."""
    name = func.overloadpacket.__name__
    far = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Far)]
    if far and name not in MOVES:
        refuse_mixed(name, args, kwargs)
    stays = isinstance(args[0], Far) if name == "copy_" else bool(far)
    if kwargs.get("device") is not None:
        stays = torch.device(kwargs["device"]).type == NAME
    near_args, near_kwargs = tree_map(nearby, (args, kwargs))
    with torch.no_grad():
        result = func(*near_args, **near_kwargs)
    if any(one.raw.shape != one.shape for one in far):
        raise NotImplementedError(f"{func} resized a tensor; name it in OWN.")
    known = {id(one.raw): one for one in far}  # what is changed in place remains the tensor it was
    if not stays:
        return result
    return tree_map(lambda leaf: known[id(leaf)] if id(leaf) in known else far_away(leaf), result)


def refuse_mixed(name: str, args: Any, kwargs: Any) -> None:
    """Raise RuntimeError for a tensor on the CPU among those on the device, unless it is a single number."""
    judged = (args[0], args[2:], kwargs) if name in INDEXED and isinstance(args[0], Far) else (args, kwargs)
    near = [leaf for leaf in tree_leaves(judged) if isinstance(leaf, Tensor) and not isinstance(leaf, Far)]
    if any(leaf.dim() or name.startswith("_fused") for leaf in near):
        raise RuntimeError(f"{name}: tensors on two devices, {[tuple(leaf.shape) for leaf in near]} on the CPU.")


def far_away(leaf: Any) -> Any:
    """The same result on the device."""
    return Far(leaf) if isinstance(leaf, Tensor) else leaf


def nearby(leaf: Any) -> Any:
    """The same argument for the CPU."""
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.raw if isinstance(leaf, Far) else leaf


def install() -> list[torch.library.Library]:
    """Make the device known to torch, for as long as what is returned is kept."""
    _setup_privateuseone_for_python_backend(NAME)
    rest, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    rest.fallback(compute, "PrivateUse1")
    for name in OWN:
        packet, _, overload = name.partition(".")
        func = getattr(getattr(torch.ops.aten, packet), overload or "default")
        own.impl(name, lambda *args, func=func, **kwargs: compute(func, *args, **kwargs), "PrivateUse1")
    return [rest, own]


def is_a_wall() -> bool:
    """Whether the device refuses what a GPU refuses, and computes and differentiates what a GPU would."""
    far, near = torch.arange(3.0, device=NAME).requires_grad_(), torch.ones(3)
    refused = 0
    for mixed in (lambda: far + near, lambda: near[far.long()], lambda: torch.cat([far, near]), far.detach().numpy):
        try:
            mixed()
        except RuntimeError:
            refused += 1
    (far * near.to(NAME) * 2.0).square().sum().backward()
    return refused == 4 and far.grad is not None and far.grad.cpu().tolist() == [0.0, 8.0, 16.0]


def failures(every: bool) -> Iterator[str]:
    """A line for each view, or with `every` for each scene too, whose first frames do not come on the device."""
    from engine.knob import tidy
    from engine.tape import record
    from tests.topics import SCENES, VIEWS, view_of

    cases = [(view, view.config(), "") for _, view in VIEWS if every or view.name not in LONG]
    if every:
        scenes = [(view_of(topic, scene.view), scene) for topic, scene in SCENES]
        cases += [(view, tidy(view.config, scene.settings), scene.name) for view, scene in scenes]
    for view, cfg, scene in cases:
        start = time.perf_counter()
        try:
            record(view.run, cfg).wind(0.2)
            print(f"{view.name} {scene}: {time.perf_counter() - start:.1f} s", flush=True)
        except Exception:
            yield f"{view.name} {scene}: {traceback.format_exc()}"


def main(every: bool) -> int:
    """1 when a view fails on the device, or the device is none."""
    os.environ["LIVESHEET_DEVICE"] = NAME  # before the engine chooses
    kept = install()
    failed = [] if is_a_wall() else ["The device takes tensors of the CPU."]
    failed += failures(every)
    print(*failed, sep="\n")
    return 1 if failed or not kept else 0


if __name__ == "__main__":
    sys.exit(main("--all" in sys.argv))
