"""``air start``: this machine becomes a node, the first of a cluster or one more."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from air.errors import BackendError, InvalidOption
from air.executor.resources import check_offered, check_quantity
from air.executor.validation import check_labels, check_number
from air_cluster.credentials import VARIABLE, Credentials
from air_cluster.directories import make_directory
from air_cluster.heads import find_head, nodes_here
from air_cluster.launch import DaemonProcess, Network, NodeOptions, Ready
from air_cluster.session_files import TOKEN

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 6380
_MAX_PORT = 65535
_MAX_GPUS = 1024
_GIB = 1 << 30

_DESCRIPTION = """
Start a node on this machine, in the background. It is ready for programs when the command ends.
Whoever wants to join or use the cluster from another machine needs its token: copy the token file
there, readable for you alone.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "start", help="make this machine a node of a cluster", description=_DESCRIPTION
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--head", action="store_true", help="the first node of a new cluster")
    which.add_argument(
        "--address", metavar="HOST:PORT", help="of the head of a cluster, to join it"
    )
    parser.add_argument(
        "--host",
        help="the address of this machine at which others reach it (default:"
        f" {DEFAULT_HOST} for a head, the address that faces the head for others)",
    )
    parser.add_argument(
        "--port",
        type=_integer("--port", 0, _MAX_PORT),
        help=f"0 for any that is free (default: {DEFAULT_PORT} for a head, any for others)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"holds what members know (default: the file that {VARIABLE} names); a head makes it"
        " if it is not there",
    )
    parser.add_argument(
        "--tls", action="store_true", help="encrypt; certificates are made, and kept with the token"
    )
    parser.add_argument(
        "--state-file",
        metavar="FILE",
        help="for a head: where it keeps actors, placement groups and nodes, to know them when it"
        " is started again with the same file, host and port",
    )
    parser.add_argument("--num-cpus", type=_number("--num-cpus"), metavar="N")
    parser.add_argument("--num-gpus", type=_integer("--num-gpus", 0, _MAX_GPUS), metavar="N")
    parser.add_argument(
        "--resources",
        type=_mapping("--resources", check_offered),
        default={},
        metavar="JSON",
        help="""further ones, such as '{"license": 2}'""",
    )
    parser.add_argument(
        "--labels",
        type=_mapping("--labels", check_labels),
        default={},
        metavar="JSON",
        help="""such as '{"zone": "a"}'""",
    )
    parser.add_argument(
        "--memory",
        type=_integer("--memory", 1, None),
        metavar="BYTES",
        help="that tasks and actors may use together, or the largest of them is ended (default:"
        " what the machine has)",
    )
    parser.add_argument(
        "--object-store-memory",
        type=_integer("--object-store-memory", 1, None),
        metavar="BYTES",
        help="shared memory for values (default: 30 %% of the machine's memory)",
    )
    parser.add_argument(
        "--block", action="store_true", help="stay in the foreground; Ctrl-C ends the node"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start the node.

    Raises:
        BackendError: it cannot start, or not join.
        InvalidOption: the options do not go together, or not with this machine.
    """
    for name in ("token_file", "state_file"):
        if getattr(options, name) == "":
            option = f"--{name.replace('_', '-')}"
            raise InvalidOption(f"{option} must name a file, got '': leave it out for none")
    network = _network(options)
    credentials = _credentials(options)
    directory = make_directory()
    daemon = None
    try:
        daemon = DaemonProcess(
            directory,
            credentials,
            NodeOptions(
                options.num_cpus,
                options.num_gpus,
                options.resources,
                options.labels,
                options.memory,
                options.object_store_memory,
            ),
            network,
            stays=True,
            attached=options.block,
        )
        ready = daemon.wait_until_ready()
        if options.block:
            _pass_on_signals(daemon)
    except BaseException:
        if daemon is not None:
            daemon.wait(0.0)  # Ctrl-C: it must not become a node all the same
        shutil.rmtree(directory, ignore_errors=True)
        raise
    _say(directory, ready, options)
    sys.stdout.flush()
    return daemon.wait_for_end() if options.block else 0


def _credentials(options: argparse.Namespace) -> Credentials:
    path = options.token_file or os.environ.get(VARIABLE)
    if options.head:
        if path is None:
            return Credentials.fresh(tls=options.tls)
        if not os.path.exists(path):
            made = Credentials.fresh(tls=options.tls)
            made.write(path)
            return made
        return _with_tls(Credentials.read(path), options, path)
    if path is not None:
        return _with_tls(Credentials.read(path), options, path)
    for node in nodes_here(options.address):
        return node.credentials
    raise BackendError(
        "joining a cluster takes its token: copy the token file of the head to this machine and"
        f" say where it is, with --token-file or in {VARIABLE}"
    )


def _with_tls(found: Credentials, options: argparse.Namespace, path: str) -> Credentials:
    """Credentials with or without certificates, as the command asks."""
    if options.tls and found.certificates is None:
        raise BackendError(
            f"--tls is given, but the token file {path} holds no certificates:"
            + (
                " name one that is not there yet, and it is made with them"
                if options.head
                else " the head was started without --tls"
            )
        )
    return found


def _network(options: argparse.Namespace) -> Network:
    head = "" if options.head else find_head(options.address)
    host = options.host
    if host is None:
        host = DEFAULT_HOST if options.head else ""
    elif not host.strip():
        raise InvalidOption(f"--host must be a name or an address of this machine, got {host!r}")
    port = options.port
    if port is None:
        port = DEFAULT_PORT if options.head else 0
    state = options.state_file
    if state and not options.head:
        raise BackendError("--state-file is for the head: other nodes have nothing to remember")
    state = os.path.abspath(state) if state else ""
    return Network(_own_address(host) if host else "", port, head, state)


def _own_address(host: str) -> str:
    """The IP address of a host of this machine."""
    from air_cluster.transport.addresses import AddressError, TcpAddress, parse
    from air_cluster.transport.tcp import resolve

    try:
        [address] = parse(resolve(str(TcpAddress(host.strip("[]"), 0))))
    except AddressError as error:
        raise BackendError(f"--host {host}: {error}") from error
    assert isinstance(address, TcpAddress)
    if address.is_any_host:
        raise BackendError(
            f"--host {host} stands for all addresses of this machine, and others need one of them"
            " to reach it: name the one that they know it by"
        )
    return address.host


def _say(directory: str, ready: Ready, options: argparse.Namespace) -> None:
    kind = "head" if options.head else "node"
    store = NodeOptions(object_store_memory=options.object_store_memory).store_bytes / _GIB
    print(f"{kind} {ready.name} runs at {ready.address}, head {ready.head}")
    print(f"  object store: up to {store:.1f} GiB of shared memory")
    if options.head:
        path = options.token_file or os.environ.get(VARIABLE)
        token = path or os.path.join(directory, TOKEN)
        print(f"  token: {os.path.abspath(token)}" + (" (with certificates)" * options.tls))
        print(f"To add a machine:  air start --address {ready.head} --token-file FILE")
    print('To use it here:    air.init(address="auto"), or AIR_ADDRESS=auto in the environment')
    print("To end it:         air stop")


def _pass_on_signals(daemon: DaemonProcess) -> None:
    """From now on the node ends when this process is to."""

    def stop(_number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon.pid, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)


# Values of options ----------------------------------------------------------------------------


def _number(name: str) -> Callable[[str], float]:
    return lambda text: _checked(lambda: check_quantity(float(text), name), name, text)


def _integer(name: str, minimum: int, maximum: int | None) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = float(text)
        try:
            value = int(text)
        except ValueError:  # such as 2e9
            value = int(value) if value.is_integer() else value
        return int(check_number(value, name, minimum=minimum, maximum=maximum, integer=True))

    return lambda text: _checked(lambda: parse(text), name, text)


def _mapping(name: str, check: Callable[[Any], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        return check(json.loads(text, object_pairs_hook=partial(_distinct, name)))

    return lambda text: _checked(lambda: parse(text), name, text)


def _distinct(name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidOption(f"{name} names {key!r} twice, with {found[key]!r} and {value!r}")
        found[key] = value
    return found


def _checked(parse: Callable[[], Any], name: str, text: str) -> Any:
    """What *parse* gives; complains in the way in which ``argparse`` shows it."""
    try:
        return parse()
    except InvalidOption as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError:
        kind = "a JSON object" if name in ("--resources", "--labels") else "a number"
        raise argparse.ArgumentTypeError(f"expected {kind}, got {text!r}") from None
