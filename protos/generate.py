"""Writes the generated code of the wire, for service and client; `--check` proves the committed copies equal.

The generator is pinned here and lives in `.venv-proto` (made on first use, with uv when it can be had, else pip), so
that its protobuf never fights the one that the service runs on. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "tta/v1/tta.proto"  # the one name under which both packages register it, so that they share one process
INFERENCE = "inference/open_inference.proto"
SERVICE, CLIENT = ROOT / "tta_service", ROOT / "clients/python/tta_client"
GRPC = "tta_pb2_grpc.py"  # which wire/ does without
TOOLS = ("grpcio-tools==1.81.1", "googleapis-common-protos==1.76.0")  # gencode for protobuf 6.33.5 and later
HEAD = f'"""Generated from protos/{SOURCE} by protos/generate.py; not edited."""\n'
COMMON_POOL, OWN_POOL = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"


def main() -> int:
    python = tools_python()
    made = {**copies({"__init__.py": HEAD, **generated(python, SOURCE)}), **inference(generated(python, INFERENCE))}
    if "--check" not in sys.argv[1:]:
        for path, text in made.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in made.items() if not same(path, text)]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not what protos/ generates: run `make proto`", file=sys.stderr)
    return 1 if stale else 0


def same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def copies(texts: dict[str, str]) -> dict[Path, str]:
    """Path to text: all of it in the client; the service keeps its messages apart from its gRPC stubs."""
    client = {CLIENT / "v1" / name: text for name, text in texts.items()}
    messages = {SERVICE / "wire/v1" / name: text for name, text in texts.items() if name != GRPC}
    stubs = texts[GRPC].replace("from . import", "from ...wire.v1 import")
    return {**client, **messages, SERVICE / "rpc/v1/__init__.py": HEAD, SERVICE / "rpc/v1" / GRPC: stubs}


def inference(texts: dict[str, str]) -> dict[Path, str]:
    """Path to text of the messages alone, in a pool of their own: tritonclient has the same names in the common one."""
    name = f"{Path(INFERENCE).stem}_pb2.py"
    assert texts[name].count(COMMON_POOL) == 1
    texts = {name: texts[name].replace(COMMON_POOL, OWN_POOL), f"{name}i": texts[f"{name}i"]}
    return {folder / name: text for folder in (SERVICE / "wire/v1", CLIENT / "v1") for name, text in texts.items()}


def generated(python: Path, source: str) -> dict[str, str]:
    """File name to text."""
    with tempfile.TemporaryDirectory() as folder:
        includes = [f"-I{path}" for path in (ROOT / "protos", *include_paths(python))]
        out = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        subprocess.run([python, "-m", "grpc_tools.protoc", *includes, *out, source], check=True)
        texts = {path.name: path.read_text(encoding="utf-8") for path in Path(folder, source).parent.glob("*.py*")}
    package = ".".join(Path(source).parent.parts)
    return {name: text.replace(f"from {package} import", "from . import") for name, text in texts.items()}


def include_paths(python: Path) -> list[str]:
    """Where the tools keep google/protobuf/*.proto and google/rpc/*.proto."""
    ask = (
        "import grpc_tools, google.rpc as r; print(grpc_tools.__path__[0] + '/_proto'); print(r.__path__[0] + '/../..')"
    )
    return subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.split("\n")[:2]


def tools_python() -> Path:
    """The interpreter of `.venv-proto`, made when absent or of other versions."""
    home = ROOT / ".venv-proto"
    python, stamp = home / "bin" / "python", home / "installed"
    if not (stamp.is_file() and stamp.read_text() == "\n".join(TOOLS)):
        shutil.rmtree(home, ignore_errors=True)
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        try:
            run(uv, "venv", "--quiet", "--python", sys.executable, str(home))
            run(uv, "pip", "install", "--quiet", "--python", str(python), *TOOLS)
        except (OSError, subprocess.CalledProcessError):  # no uv, or one that trusts nobody whom pip trusts
            run(sys.executable, "-m", "venv", "--clear", str(home))
            run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS)
        (home / ".gitignore").write_text("*\n")
        stamp.write_text("\n".join(TOOLS))
    return python


def run(*command: str) -> None:
    """With the system's certificates, where it is uv: they know a company's own authority."""
    subprocess.run(command, check=True, env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"})


if __name__ == "__main__":
    sys.exit(main())
