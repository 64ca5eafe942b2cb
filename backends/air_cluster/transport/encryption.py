"""Whether a session's TCP connections are encrypted: it has certificates, or it has none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from air_cluster.session_files import CERTIFICATES

if TYPE_CHECKING:
    from air_cluster.transport.tls import TlsContexts


def contexts_in(session: str) -> TlsContexts | None:
    """The settings for both roles of a connection; ``None`` if nothing is encrypted.

    Args:
        session: the session's directory.

    Raises:
        ValueError: a file of the certificates is missing or damaged; names it.
    """
    directory = os.path.join(session, CERTIFICATES)
    if not os.path.isdir(directory):
        return None
    # Takes long to import, and few clusters need it.
    from air_cluster.transport.tls import ClusterFiles, load_contexts

    return load_contexts(ClusterFiles.of(directory))
