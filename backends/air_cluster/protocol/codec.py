"""All messages of the runtime, to bytes and back."""

from __future__ import annotations

import msgspec

from air_cluster.protocol.head_messages import HeadMessage
from air_cluster.protocol.messages import ClientMessage

Message = ClientMessage | HeadMessage

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode
