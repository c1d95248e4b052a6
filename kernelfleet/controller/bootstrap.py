"""The code that makes a plain Python kernel answer push, pull, apply, keys and reset.

Sent once, as an ordinary ``execute_request``. It uses what the kernel's own environment has:
kernelfleet and cloudpickle if they are there, plain pickle otherwise. Only text in here; it runs
in the kernel, never in the controller.
"""

from __future__ import annotations

from collections.abc import Sequence

_CODE = """
def __kernelfleet_bootstrap__(engine_id, n_engines):
    import asyncio, base64, builtins, inspect, json, pickle, sys, time
    from IPython import get_ipython
    shell = get_ipython()
    folder = sys.path.index("") if "" in sys.path else None
    if folder is not None:
        del sys.path[folder]  # what lies there is not meant by these imports
    try:
        from kernelfleet.wire.serialize import pack, unpack
        from kernelfleet.engine.namespace import Namespace
        from kernelfleet.wire.functions import set_namespace_provider
        set_namespace_provider(Namespace(shell))  # functions see the variables of the shell
    except ImportError:
        try:
            import cloudpickle as pickler
        except ImportError:
            pickler = pickle
        def pack(obj):
            return [pickler.dumps(obj)]
        def unpack(frames):
            return pickle.loads(frames[0], buffers=frames[1:])
    finally:
        if folder is not None:
            sys.path.insert(folder, "")

    class Answer:
        def __init__(self, answer, frames=()):
            coded = [base64.b64encode(frame).decode() for frame in frames]
            self.text = json.dumps({**answer, "frames": coded})
        def __repr__(self):
            return "<kernelfleet answer>"
        def _repr_mimebundle_(self, include=None, exclude=None):
            return {"application/x-kernelfleet": self.text}

    def set_identity():
        for name, value in (("engine_id", engine_id), ("n_engines", n_engines)):
            shell.user_ns[name] = shell.user_ns_hidden[name] = value

    def look_up(name):
        first, *attributes = [name] if name in shell.user_ns else name.split(".")
        if first not in shell.user_ns:
            raise NameError("name %r is not defined" % first)
        value = shell.user_ns[first]
        for attribute in attributes:
            value = getattr(value, attribute)
        return value

    def push(variables):
        dotted = [name.rpartition(".") for name in variables if "." in name]
        owners = [look_up(path) for path, _, _ in dotted]
        for owner, (path, dot, name) in zip(owners, dotted):
            setattr(owner, name, variables[path + dot + name])
        shell.user_ns.update((k, v) for k, v in variables.items() if "." not in k)

    def keys():
        hidden = shell.user_ns_hidden
        return [name for name, value in shell.user_ns.items()
                if not name.startswith("_") and value is not hidden.get(name, hidden)]

    def awaited(value):
        if not inspect.iscoroutine(value):
            return value
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as pool:  # this thread's loop is running
            return pool.submit(asyncio.run, value).result()

    def run(verb, content, frames):
        if verb == "push":
            push(unpack(frames))
            return {}, []
        if verb == "pull":
            return {}, pack([look_up(name) for name in content["names"]])
        if verb == "apply":
            function, args, kwargs = unpack(frames)
            return {}, pack(awaited(function(*args, **kwargs)))
        if verb == "keys":
            return {"keys": keys()}, []
        shell.reset(new_session=True)
        set_identity()
        return {}, []

    def answer(request):
        verb, content, coded = json.loads(request)
        started = time.time()
        try:
            extra, frames = run(verb, content, [base64.b64decode(item) for item in coded])
            result = {"ok": True, **extra}
        except BaseException as error:
            result = {"ok": False, "error": {
                "ename": type(error).__name__, "evalue": str(error), "kind": "user",
                "traceback": shell.InteractiveTB.structured_traceback(
                    *sys.exc_info(), tb_offset=2)}}
            try:
                frames = pack(error)
            except Exception:
                frames = []
        return Answer({**result, "started": started, "completed": time.time()}, frames)

    builtins.__kernelfleet__ = answer
    set_identity()
"""

#: Runs a script in a Python kernel that is not ours; what engine/scripts.py does in one that is.
_SCRIPT = """
def __kernelfleet_script__(code, path, argv):
    import linecache, os, sys, warnings
    __tracebackhide__ = True  # in IPython's tracebacks
    namespace, exits = globals(), {"exit": sys.exit, "quit": sys.exit}
    warnings.filterwarnings("ignore", "To exit: use")  # IPython 9.18 on SystemExit
    linecache.cache[path] = len(code), None, code.splitlines(True), path
    folder, argv_before = os.path.dirname(path), sys.argv
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.insert(0, folder)
    before = {name: namespace[name] for name in exits if name in namespace}
    namespace.update(exits, __file__=path)
    sys.argv = argv
    try:
        exec(compile(code, path, "exec", dont_inherit=True), namespace)
    except SystemExit as status:
        if status.code not in (None, 0):
            raise
    finally:
        sys.argv = argv_before
        for name in exits:
            namespace.pop(name, None)
        namespace.update(before)

"""


def script_code(code: str, path: str, argv: Sequence[str]) -> str:
    """The cell that runs a script as ``python path`` would, with its text taken along."""
    return f"{_SCRIPT}__kernelfleet_script__({code!r}, {path!r}, {list(argv)!r})"


def bootstrap_code(engine_id: int, n_engines: int) -> str:
    """The code that installs the verbs in one kernel."""
    call = f"__kernelfleet_bootstrap__({engine_id}, {n_engines})\ndel __kernelfleet_bootstrap__\n"
    return _CODE + call
