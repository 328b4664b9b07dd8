"""Games connect here: the protocol `hotseat.v1` over WebSocket.

client_messages, server_messages   what is said, as types
messages                           text to types and back, and the JSON Schema of all
protocol                           one connection's rules, without sockets, threads or clocks
connection, shell, lifecycle       the same on sockets: one machine per connection, started and drained
runtime                            what the server asks of the runtime behind it
client                             the other side, for games in Python
"""

from agent_runtime.server.client import Client
from agent_runtime.server.config import Limits, ServerConfig
from agent_runtime.server.lifecycle import serve, serve_in_background
from agent_runtime.server.messages import PROTOCOL, protocol_schema
from agent_runtime.server.recorder import Recorder
from agent_runtime.server.runtime import Runtime

__all__ = [
    "PROTOCOL",
    "Client",
    "Limits",
    "Recorder",
    "Runtime",
    "ServerConfig",
    "protocol_schema",
    "serve",
    "serve_in_background",
]
