"""What a program holds of remote things: references to values, generators, actors.

They are thin: everything is done by the executor that made them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from air.executor.concurrency import check_member
from air.executor.options import MethodOptions, method_options
from air.executor.validation import check_timeout, listing, nearest

if TYPE_CHECKING:
    from concurrent.futures import Future

    from air.executor.code import MethodInfo
    from air.executor.interface import Executor

T = TypeVar("T")


class ObjectRef(Generic[T]):
    """A reference to a value that exists now or will exist later.

    References compare and hash by identity of the value they stand for. Dropping the last
    one frees the value. Inside ``async`` code ``await ref`` gives the value.

    A reference may be sent to tasks and actors, alone or inside other values; pickling one
    by other means raises ``SerializationError``, because nobody would then know that the
    value is still wanted.
    """

    __slots__ = ("__weakref__", "_executor", "id")

    def __init__(self, object_id: bytes, executor: Executor) -> None:
        self.id = object_id
        self._executor = executor

    def hex(self) -> str:
        """The identity as text."""
        return self.id.hex()

    def binary(self) -> bytes:
        """The identity as bytes."""
        return self.id

    def future(self) -> Future[T]:
        """A ``concurrent.futures.Future`` of the value."""
        return self._executor.as_future(self)

    def __await__(self) -> Generator[Any, None, T]:
        return self._executor.await_ref(self).__await__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectRef) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"ObjectRef({self.id.hex()})"

    def __copy__(self) -> ObjectRef[T]:
        return self

    def __deepcopy__(self, _memo: object) -> ObjectRef[T]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _import_ref, (self._executor.export_ref(self),)

    def __del__(self) -> None:
        try:
            executor = self._executor
        except AttributeError:  # __init__ has not finished
            return
        executor.release_ref(self.id)


class ObjectRefGenerator:
    """The results of a generator task, one reference for each value that it yields.

    Iterate over it, or ``async for``, to get an :class:`ObjectRef` for each value in order.
    If the task raises, the last reference is the one whose ``get`` raises its error.
    Dropping the generator, or :meth:`close`, ends the task at its next ``yield``.
    """

    __slots__ = ("__weakref__", "_executor", "id")

    def __init__(self, stream_id: bytes, executor: Executor) -> None:
        self.id = stream_id
        self._executor = executor

    def __iter__(self) -> Iterator[ObjectRef[Any]]:
        return self

    def __next__(self) -> ObjectRef[Any]:
        ref = self._executor.next_in_stream(self, None)
        if ref is None:
            raise StopIteration
        return ref

    def next_within(self, timeout: float) -> ObjectRef[Any]:
        """The next reference, waiting at most *timeout* seconds.

        Raises:
            GetTimeout: no value was yielded in time; the generator can go on being used.
            StopIteration: the generator has ended.
            InvalidOption: *timeout* is negative or no number.
        """
        ref = self._executor.next_in_stream(self, check_timeout(timeout))
        if ref is None:
            raise StopIteration
        return ref

    def __aiter__(self) -> AsyncIterator[ObjectRef[Any]]:
        return self

    async def __anext__(self) -> ObjectRef[Any]:
        ref = await self._executor.await_next_in_stream(self)
        if ref is None:
            raise StopAsyncIteration
        return ref

    def close(self) -> None:
        """End the task at its next ``yield``; what it yielded before stays valid.

        The generator ends here, also for whoever waits for its next value.
        """
        self._executor.close_stream(self.id)

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({self.id.hex()})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "an ObjectRefGenerator cannot be sent to another process;"
            " send the references that it yields"
        )

    def __del__(self) -> None:
        executor = getattr(self, "_executor", None)
        if executor is not None:
            executor.release_stream(self.id)


class ActorHandle:
    """A handle to an actor: ``handle.method.remote(...)`` calls its methods.

    Calls from one caller run in the order in which they were made. Handles can be passed to
    tasks and other actors. An actor that has no name ends when its last handle is dropped.
    """

    __slots__ = ("__weakref__", "_actor_id", "_class_name", "_executor", "_groups", "_methods")

    def __init__(
        self,
        actor_id: bytes,
        class_name: str,
        methods: Mapping[str, MethodInfo],
        executor: Executor,
        groups: Collection[str] = (),
    ) -> None:
        self._actor_id = actor_id
        self._class_name = class_name
        self._methods = methods
        self._executor = executor
        self._groups = groups  # names of the concurrency groups of its class

    def __getattr__(self, name: str) -> ActorMethod:
        # Only reached for names that are not attributes of the handle itself. Half-made
        # handles (copy, pickle) have no _methods; looking that up must not recurse.
        if name.startswith("__") and name != "__call__":
            raise AttributeError(name)
        info = self._methods.get(name)
        if info is None:
            methods = listing(sorted(self._methods)) or "none"
            raise AttributeError(
                f"actor {self._class_name} has no method {name!r}."
                f"{nearest(name, self._methods)} Methods are: {methods}"
            )
        return ActorMethod(self, name, info, info.options)

    def __dir__(self) -> list[str]:
        return sorted(self._methods)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._actor_id == other._actor_id

    def __hash__(self) -> int:
        return hash(self._actor_id)

    def __repr__(self) -> str:
        return f"ActorHandle({self._class_name}, {self._actor_id.hex()})"

    def __copy__(self) -> ActorHandle:
        return self

    def __deepcopy__(self, _memo: object) -> ActorHandle:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _import_actor, (self._executor.export_actor(self),)

    def __del__(self) -> None:
        executor = getattr(self, "_executor", None)
        if executor is not None:
            executor.release_actor(self._actor_id)


class ActorMethod:
    """A method of an actor; call it with ``.remote(...)``."""

    __slots__ = ("_handle", "_info", "_name", "_options")

    def __init__(
        self, handle: ActorHandle, name: str, info: MethodInfo, options: MethodOptions
    ) -> None:
        self._handle = handle
        self._name = name
        self._info = info
        self._options = options

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method; see :meth:`Executor.call_actor` for what it gives."""
        handle, signature = self._handle, self._info.signature
        if signature is not None:
            signature.check(args, kwargs, f"{handle._class_name}.{self._name}")
        made = handle._executor.call_actor(handle, self._name, args, kwargs, self._options)
        return unpack_returns(made)

    def options(self, **options: Any) -> ActorMethod:
        """The same method with other options: those of :class:`air.executor.options.MethodOptions`.

        Raises:
            InvalidOption: an unknown option, a value that it cannot take, or a concurrency group
                that the actor's class does not have.
        """
        changed = method_options(options, self._options)
        if changed.concurrency_group is not None:
            what = f"{self._handle._class_name}.{self._name}"
            check_member(changed.concurrency_group, self._handle._groups, what)
        return ActorMethod(self._handle, self._name, self._info, changed)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"methods of actors are called with .remote():"
            f" {self._handle._class_name}.{self._name}.remote(...)"
        )

    def __repr__(self) -> str:
        return f"ActorMethod({self._handle._class_name}.{self._name})"


def unpack_returns(made: list[ObjectRef[Any]] | ObjectRefGenerator) -> Any:
    """What ``.remote()`` hands out: nothing, one reference, a list, or a generator."""
    if isinstance(made, ObjectRefGenerator):
        return made
    if len(made) == 1:
        return made[0]
    return made or None


def check_refs(refs: object, what: str) -> list[ObjectRef[Any]]:
    """Return *refs* as a list, or complain about the first that is no reference.

    Raises:
        TypeError: not a list or tuple of :class:`ObjectRef`.
    """
    if not isinstance(refs, (list, tuple)):
        got = "a single one" if isinstance(refs, ObjectRef) else type(refs).__name__
        raise TypeError(f"{what} takes a list of ObjectRef, got {got}")
    if list(map(type, refs)).count(ObjectRef) == len(refs):  # as usual: without a step for each
        return list(refs)
    for index, ref in enumerate(refs):
        if not isinstance(ref, ObjectRef):
            raise TypeError(
                f"{what} takes a list of ObjectRef,"
                f" item {index} is {type(ref).__name__}: {ref!r:.80}"
            )
    return list(refs)


_find_executor: Callable[[], Executor] | None = None


def _here() -> Executor:
    """The executor of this process."""
    global _find_executor
    if _find_executor is None:
        # Imported once: values may hold thousands of references.
        from air.executor.current import get_executor

        _find_executor = get_executor
    return _find_executor()


def _import_ref(state: Any) -> ObjectRef[Any]:
    return _here().import_ref(state)


def _import_actor(state: Any) -> ActorHandle:
    return _here().import_actor(state)
