"""The specialised kernel's own source, run by numpy with a thread for every partition of a program.

Gluon has no interpreter. So its modules are put in the place of Triton's while the kernel's are loaded a second time.
Nothing comes earlier than waits demand: copies arrive and products are done as late as they may, and until then slots
of shared memory hold NaN; a barrier at which nobody arrives is an error. Layouts and fences are not emulated.
"""

import importlib.util
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import torch

from agent_runtime.engine import gpu

_FOLDER = Path(next(iter(gpu.__path__)))
_GLUON = "triton.experimental.gluon"
_PRODUCING, _SPECIALISED = (f"{gpu.__name__}.{name}" for name in ("producing", "specialised"))
# How long a partition waits for the others: a deadlock.
_LONGEST_S = 20.0


class Array(numpy.ndarray):
    """A tensor of Gluon's; its layout is nothing."""

    type = SimpleNamespace(layout=None)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> "Array":
        return _array(array)

    def to(self, dtype: Any) -> Any:
        return self.astype(dtype)


def _array(x: Any) -> Array:
    return numpy.asarray(x).view(Array)


class Pointer:
    """Places in the memory of one tensor."""

    def __init__(self, memory: numpy.ndarray, at: Any = 0) -> None:
        self.memory, self.at = memory, _array(at)
        self.dtype = SimpleNamespace(element_ty=memory.dtype)

    def __add__(self, more: Any) -> "Pointer":
        return Pointer(self.memory, self.at + more)

    def load(self, mask: Any = None, other: Any = 0) -> Array:
        mask = True if mask is None else mask
        at, mask = numpy.broadcast_arrays(self.at, mask)
        if not ((at >= 0) & (at < len(self.memory)))[mask].all():
            raise IndexError(f"{at[mask].min()} to {at[mask].max()} of {len(self.memory)}")
        return _array(numpy.where(mask, self.memory[numpy.where(mask, at, 0)], self.memory.dtype.type(other)))

    def store(self, value: Any, mask: Any) -> None:
        at, value, mask = numpy.broadcast_arrays(self.at, value, mask)
        assert ((at >= 0) & (at < len(self.memory)))[mask].all()
        self.memory[at[mask]] = value[mask]


class Shared:
    """A buffer in shared memory, and slots of it."""

    def __init__(self, array: numpy.ndarray) -> None:
        self.array = array

    def index(self, number: Any) -> "Shared":
        assert 0 <= int(number) < len(self.array)
        return Shared(self.array[int(number)])

    def permute(self, order: Sequence[int]) -> "Shared":
        return Shared(self.array.transpose(order))

    def load(self, layout: Any) -> Array:
        return _array(self.array.copy())

    def store(self, value: Any) -> None:
        self.array[...] = value


@dataclass(eq=False)
class Barrier:
    """Its phase ends when `count` have arrived."""

    count: int = 0
    arrived: int = 0
    phase: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)


class Barriers:
    """An array of them."""

    def __init__(self, number: int) -> None:
        self.all = [Barrier() for _ in range(number)]

    def index(self, number: Any) -> Barrier:
        assert 0 <= int(number) < len(self.all)
        return self.all[int(number)]


@dataclass(eq=False)
class Product:
    """A product that is on its way: nothing is computed before it is waited for."""

    left: Any
    right: Shared
    to: Any
    adds: bool
    value: Any = None

    def finish(self) -> None:
        to = self.to.value if isinstance(self.to, Product) else self.to
        self.value = _array(numpy.asarray(self.left) @ self.right.array + (to if self.adds else 0))


class Emulation:
    """One launch's state: which program runs, what each partition waits for, and whether one has failed."""

    def __init__(self) -> None:
        self.program = self.programs = 0
        self.failed: BaseException | None = None
        self._jitter = random.Random(0)
        self._own = threading.local()

    def queue(self, name: str) -> list[Any]:
        """Return a list of the partition's own."""
        found: list[Any] = self._own.__dict__.setdefault(name, [])
        return found

    def arrive(self, barrier: Barrier) -> None:
        time.sleep(self._jitter.random() * 2e-4)  # waits for nothing: partitions meet in another order every time
        with barrier.changed:
            barrier.arrived += 1
            if barrier.arrived == barrier.count:
                barrier.arrived, barrier.phase = 0, barrier.phase + 1
                barrier.changed.notify_all()

    def wait(self, barrier: Barrier, parity: Any) -> None:
        assert int(parity) in (0, 1)
        with barrier.changed:

            def is_over() -> bool:
                return self.failed is not None or (barrier.phase & 1) != int(parity)

            if not barrier.changed.wait_for(is_over, timeout=_LONGEST_S):
                raise TimeoutError("a barrier at which nobody arrives")
        if self.failed:
            raise RuntimeError("another partition failed")

    def copy(self, shared: Shared, pointer: Pointer, mask: Any = None) -> None:
        value = numpy.broadcast_to(pointer.load(mask), shared.array.shape)
        shared.array[...] = numpy.nan
        self.queue("copies").append((shared, value))

    def commit(self) -> None:
        self.queue("groups").append(list(self.queue("copies")))
        self.queue("copies").clear()

    def wait_for_copies(self, left: int) -> None:
        groups = self.queue("groups")
        while len(groups) > left:
            for shared, value in groups.pop(0):
                shared.array[...] = value

    def multiply(self, left: Any, right: Shared, to: Any, use_acc: bool = True, is_async: bool = False) -> Product:
        assert is_async
        self.queue("products").append(Product(left, right, to, use_acc))
        product: Product = self.queue("products")[-1]
        return product

    def wait_for_products(self, left: int, deps: Sequence[Any]) -> Any:
        products = self.queue("products")
        while len(products) > left:
            products.pop(0).finish()
        [only] = deps
        assert only.value is not None
        return only.value

    def specialise(self, partitions: Sequence[Any], warps: Any, registers: Any) -> None:
        def run(function: Callable[..., None], given: Sequence[Any]) -> None:
            try:
                function(*given)
                assert not self.queue("products") and not self.queue("copies")
            except BaseException as error:
                self.failed = self.failed or error

        threads = [threading.Thread(target=run, args=each) for each in partitions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failed:
            raise self.failed


def _nothing(*given: Any, **named: Any) -> None:
    return None


def _language(state: Emulation, barrier_layout: object) -> ModuleType:
    """Return what the kernel calls `gl`."""

    def allocate(dtype: Any, shape: Sequence[int], layout: Any) -> Any:
        return Barriers(shape[0]) if layout is barrier_layout else Shared(numpy.full(shape, numpy.nan, dtype))

    language = ModuleType(f"{_GLUON}.language")
    language.__dict__.update(
        constexpr=int,
        int64=numpy.int64,
        float32=numpy.float32,
        load=Pointer.load,
        store=Pointer.store,
        where=lambda which, a, b: _array(numpy.where(which, a, b)),
        maximum=numpy.maximum,
        arange=lambda begin, end, layout: _array(numpy.arange(begin, end, dtype=numpy.int32)),
        program_id=lambda axis: state.program,
        num_programs=lambda axis: state.programs,
        cdiv=lambda a, b: (a + b - 1) // b,
        to_tensor=_array,
        static_range=range,
        full=lambda shape, value, dtype, layout: _array(numpy.full(shape, value, dtype)),
        zeros=lambda shape, dtype, layout: _array(numpy.zeros(shape, dtype)),
        max=lambda x, axis: x.max(axis),
        sum=lambda x, axis: x.sum(axis),
        exp2=numpy.exp2,
        log2=numpy.log2,
        convert_layout=lambda x, layout: x,
        NVMMASharedLayout=SimpleNamespace(get_default_for=_nothing),
        allocate_shared_memory=allocate,
        warp_specialize=state.specialise,
        barrier=_nothing,
        **dict.fromkeys(
            ("BlockedLayout", "SliceLayout", "NVMMADistributedLayout", "DotOperandLayout", "SwizzledSharedLayout"),
            _nothing,
        ),
    )
    return language


def _modules(state: Emulation) -> dict[str, ModuleType]:
    """Return what stands in the place of Gluon's modules, by their names."""
    barrier_layout = object()

    def init(barrier: Barrier, count: int) -> None:
        barrier.count = count

    gluon = {"jit": lambda function: function, "language": _language(state, barrier_layout)}
    names: dict[str, dict[str, Any]] = {
        "triton.experimental": {"gluon": SimpleNamespace(**gluon)},
        _GLUON: gluon,
        f"{_GLUON}.language.nvidia.ampere": {
            "async_copy": SimpleNamespace(
                async_load=state.copy, commit_group=state.commit, wait_group=state.wait_for_copies
            )
        },
        f"{_GLUON}.language.nvidia.hopper": {
            "fence_async_shared": _nothing,
            "mbarrier": SimpleNamespace(
                init=init, arrive=state.arrive, wait=state.wait, MBarrierLayout=lambda: barrier_layout
            ),
            "warpgroup_mma": state.multiply,
            "warpgroup_mma_wait": state.wait_for_products,
        },
    }
    found = {}
    for name, has in names.items():
        found[name] = ModuleType(name)
        found[name].__dict__.update(has)
    return found


@contextmanager
def _instead(modules: dict[str, ModuleType]) -> Iterator[None]:
    kept = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _loaded(name: str) -> ModuleType:
    """Load one of the kernel's files again, without its being found by that name."""
    spec = importlib.util.spec_from_file_location(name, _FOLDER / f"{name.rpartition('.')[2]}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class EmulatedKernel:
    """`attend_specialised`, launched on torch's tensors on a CPU."""

    def __init__(self) -> None:
        self.launches = 0
        self._state = Emulation()
        with _instead(_modules(self._state)):
            producing = _loaded(_PRODUCING)
            with _instead({_PRODUCING: producing}):
                self._kernel = _loaded(_SPECIALISED).attend_specialised

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        def launched(*given: Any, num_warps: int, enable_fp_fusion: bool, **constants: Any) -> None:
            self.launches += 1
            pointers = [Pointer(x.detach().reshape(-1).numpy()) if isinstance(x, torch.Tensor) else x for x in given]
            for program in range(grid[0]):
                self._state.program, self._state.programs, self._state.failed = program, grid[0], None
                self._kernel(*pointers, **constants)

        return launched
