"""The page served to a browser by Voilà, without any code in sight.

`python -m helpers.app` opens it. It listens on this machine alone unless `--address` says otherwise.
"""

import ipaddress
import logging
import os
import socket
import sys
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import HTTPError
from traitlets import Int
from traitlets.config import Config
from voila.app import Voila

from helpers import InputError
from helpers.command_line import new_parser, run_program

NOTEBOOK = Path(__file__).with_name("app.ipynb")
TEMPLATE = Path(__file__).with_name("voila")
LOOPBACK, PORT = "127.0.0.1", 8866
EXTENSIONS = ["@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager", "anywidget"]
LARGEST = 2**21  # bytes of a message from a browser; clips come in pieces of a quarter of it
PAGES = 4  # open at once; each is a process of its own


class CurrentPythonKernels(KernelSpecManager):
    """One kernel, this very Python: a kernelspec "python3" of the user's may be another one."""

    def find_kernel_specs(self):
        return {"python3": ""}

    def get_kernel_spec(self, kernel_name):
        quiet = "--IPKernelApp.log_level=CRITICAL"
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", quiet]
        return KernelSpec(argv=command, language="python", display_name="Python 3")


class LimitedKernels(AsyncMappingKernelManager):
    """A limited number of pages at once: a page that is loaded again and again would fill the memory."""

    most = Int(PAGES, config=True)
    starting = 0

    async def start_kernel(self, **kwargs):
        if len(self.list_kernel_ids()) + self.starting >= self.most:
            many = f"open {self.most} times, as often as it may be" if self.most > 1 else "open elsewhere"
            raise HTTPError(503, f"This page is {many}; close one, and load this one anew in some seconds.")
        self.starting += 1
        try:
            return await super().start_kernel(**kwargs)
        finally:
            self.starting -= 1


def is_loopback(address):
    """Whether an address can be reached from this machine alone."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def free_port(address, port=None):
    """A port to listen on: `port`, or by default 8866, else any that is free; 0 is any.

    Raises
    ------
    InputError
        When `port` is taken or not allowed, or the address is not this machine's.
    """
    for each in [PORT, 0] if port is None else [port]:
        try:
            if not 0 <= each < 2**16:
                raise OSError("no such port")
            sockets = bind_sockets(each, address, family=socket.AF_UNSPEC)
        except OSError as error:
            reason = error.strerror or error
            continue
        found = sockets[0].getsockname()[1]
        for one in sockets:
            one.close()
        return found
    expected = "a free port, such as --port 0 finds, and an address of this machine"
    found = f"port {each} of {address} cannot be listened on ({reason})"
    raise InputError(found, expected=expected)


def settings(address, port, browser, pages=PAGES):
    """Voilà's settings, a `Config`: no code, no tracebacks, no files but the page, nobody from elsewhere.

    Parameters
    ----------
    address : str
    port : int
    browser : bool
        Whether to open one.
    pages : int
        How many may be open at once.
    """
    config = Config()
    config.Voila.update(ip=address, port=port, port_retries=0, open_browser=browser)
    config.Voila.update(notebook_path=str(NOTEBOOK), config_file_paths=[], log_level=logging.ERROR)
    # A page elsewhere whose name is pointed at this machine (DNS rebinding) is known by its Host header.
    remote = not is_loopback(address)
    config.Voila.tornado_settings = {"allow_remote_access": remote, "websocket_max_message_size": LARGEST}
    config.VoilaConfiguration.update(
        strip_sources=True, show_tracebacks=False, file_allowlist=[], theme="light",
        allow_template_override="NO", allow_theme_override="NO", extension_allowlist=EXTENSIONS,
        kernel_spec_manager_class=CurrentPythonKernels, multi_kernel_manager_class=LimitedKernels,
    )  # fmt: skip
    config.LimitedKernels.most = pages
    # A page that was closed ends its kernel, and with it all clips; this is for one whose browser was killed.
    config.MappingKernelManager.update(cull_idle_timeout=300, cull_interval=60)
    config.ZMQChannelsWebsocketConnection.limit_rate = False  # pictures and sounds come at once
    return config


class App(Voila):
    """Voilà with the page's own template, and one line that says where it is."""

    def setup_template_dirs(self):
        super().setup_template_dirs()
        self.template_paths = [str(TEMPLATE), *self.template_paths]

    def listen(self):
        line = f"Siamese Voices: {self.connection_url}  (Ctrl-C ends it)"
        IOLoop.current().add_callback(print, line, flush=True)
        super().listen()


def _serve(options):
    """Serve the page until Ctrl-C."""
    if options.pages < 1:
        raise InputError(f"--pages {options.pages}", expected="1 or more")
    port = free_port(options.address, options.port)
    if not is_loopback(options.address):
        found = f"Note: {options.address} is open to others, who can use the page without a password; their"
        print(f"{found} clips travel unencrypted, and browsers give it no microphone.", file=sys.stderr)
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    for name, value in (("MODEL", options.model), ("DATA", options.data)):
        if value:
            os.environ[f"SIAMESE_VOICES_{name}"] = str(Path(os.path.expanduser(value)).resolve())
    logging.getLogger("tornado.general").setLevel(logging.ERROR)  # of jupyter-server's own settings of pings
    app = App(config=settings(options.address, port, not options.no_browser, options.pages))
    app.initialize([])
    app.start()


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("app", __doc__)
    parser.add_argument("--port", type=int, help=f"to listen on (default: {PORT}, or any when it is taken)")
    parser.add_argument("--address", default=LOOPBACK, help=f"to listen on (default: {LOOPBACK})")
    parser.add_argument("--pages", type=int, default=PAGES, help=f"open at once (default: {PAGES})")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--model", default="", help="a saved model (default: that of helpers.verify)")
    parser.add_argument("--data", default="", help="a folder with trs.pkl and tes.pkl, for nearest voices")
    return run_program(_serve, parser.parse_args(arguments), failed=2)
