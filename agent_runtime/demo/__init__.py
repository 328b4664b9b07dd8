"""`hotseat demo`: a server in a process of its own, two games over WebSocket, a kill, and the same turns in every mode.

story    the whole of it, in order
server   the server as a child process: started, killed, stopped
player   one game played through the client
screen   what is printed
verdict  where prefix reuse suffices, from the measured figures
"""

from agent_runtime.demo.errors import DemoError
from agent_runtime.demo.story import DemoOptions, run_demo

__all__ = ["DemoError", "DemoOptions", "run_demo"]
