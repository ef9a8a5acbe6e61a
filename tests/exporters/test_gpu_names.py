"""The names that GPU code uses exist in the libraries, since most machines can't run that code.

TensorRT can't be installed without NVIDIA's libraries, but its Python bindings (PyPI: tensorrt-cu13-bindings) can be
imported with empty libraries in their place. The long test does that for versions 10 and 11.
"""

import ast
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pynvml
import pytest

from exporters.backends import tensorrt
from exporters.cuda import cuda_python, engine, nvml, pycuda_memory

SOURCES = [Path(str(module.__file__)) for module in (engine, tensorrt)]
# what a variable or attribute of our code holds -> its class in the module
HOLDS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "parser": "OnnxParser",
    "error": "ParserError",
    "tensor": "ITensor",
    "node": "IIdentityLayer",
    "cache": "ITimingCache",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "_context": "IExecutionContext",
    "inspector": "EngineInspector",
    "runtime_config": "IRuntimeConfig",
}
# TensorRT-RTX alone has these (developer guide, "Building for other GPUs" and "Dynamic shapes"); the code asks
# is_classic() before it uses them.
RTX_ONLY = {
    ("module", "ComputeCapability"),
    ("module", "DynamicShapesKernelSpecializationStrategy"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
    ("IRuntimeConfig", "dynamic_shapes_kernel_specialization_strategy"),
}
ENUMS = ("BuilderFlag", "NetworkDefinitionCreationFlag", "ProfilingVerbosity", "TensorIOMode", "LayerInformationFormat")
IN_PYTHON = {("module", "nptype"), ("module", "__name__"), ("module", "__version__")}  # of the package, not the binding
BINDINGS = ("tensorrt-cu12-bindings==10.13.3.9", "tensorrt-cu13-bindings==11.4.0.106")


def used_names() -> set[tuple[str, str]]:
    """(class or "module" or enum, attribute) for each use in our code."""
    found = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            holder = node.value
            name = (
                holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else ""
            )
            if name in ("trt", "_trt"):
                found.add(("module", node.attr))
            elif name in ENUMS:
                found.add((name, node.attr))
            elif name in HOLDS:
                found.add((HOLDS[name], node.attr))
    return found


def names_of(module: object, names: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of `names` that the module lacks."""
    return {
        (owner, name)
        for owner, name in names
        if not hasattr(module if owner == "module" else getattr(module, owner, None), name)
    }


def test_the_names_come_from_the_code() -> None:
    used = used_names()
    assert {owner for owner, _ in used} == {"module", *ENUMS, *HOLDS.values()}
    assert used >= RTX_ONLY
    assert ("IExecutionContext", "execute_async_v3") in used
    assert ("Builder", "build_serialized_network") in used


def test_tensorrt_rtx_has_all_names() -> None:
    module = pytest.importorskip("tensorrt_rtx")
    assert names_of(module, used_names()) == set()
    assert names_of(module, {("Builder", "no_such_name")})  # a name that isn't there is found out


LIST = """
import sys
sys.path.insert(0, sys.argv[1])
import bindings.tensorrt as module
for pair in sys.argv[2:]:
    owner, _, name = pair.partition(".")
    if not hasattr(module if owner == "module" else getattr(module, owner, None), name):
        print(pair)
"""


@pytest.mark.long
@pytest.mark.parametrize("requirement", BINDINGS)
def test_tensorrt_has_all_names_but_those_of_rtx(requirement: str, tmp_path: Path) -> None:
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(tmp_path)]
    if subprocess.run([*fetch, requirement], capture_output=True).returncode:
        pytest.skip(f"{requirement} has no wheel for this Python and system, or there is no network")
    (wheel,) = tmp_path.glob("*.whl")
    package = tmp_path / "package" / "bindings"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    with ZipFile(wheel) as archive:
        (package / "tensorrt.so").write_bytes(archive.read("tensorrt_bindings/tensorrt.so"))
    _empty_libraries(package / "tensorrt.so", tmp_path / "empty")
    pairs = [f"{owner}.{name}" for owner, name in used_names() - IN_PYTHON]
    answer = subprocess.run(
        [sys.executable, "-c", LIST, str(package.parent), *pairs],
        capture_output=True,
        text=True,
        env={"LD_LIBRARY_PATH": str(tmp_path / "empty")},
    )
    assert answer.returncode == 0, answer.stderr
    missing = set(answer.stdout.split())
    assert missing == {f"{owner}.{name}" for owner, name in RTX_ONLY}


def _empty_libraries(binding: Path, folder: Path) -> None:
    """Libraries that define what the binding needs to load, and do nothing."""
    folder.mkdir()
    try:
        needed = subprocess.run(["objdump", "-p", binding], capture_output=True, text=True, check=True).stdout
        wanted = subprocess.run(["nm", "-D", "--undefined-only", binding], capture_output=True, text=True, check=True)
        symbols = {
            line.split()[-1] for line in wanted.stdout.splitlines() if line.split()[-1][:3] in ("cre", "get", "ini")
        }
        (folder / "empty.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in sorted(symbols)))
        for library in (line.split()[1] for line in needed.splitlines() if "NEEDED" in line and "libnv" in line):
            build = ["gcc", "-shared", "-fPIC", "-o", folder / library, f"-Wl,-soname,{library}", folder / "empty.c"]
            subprocess.run(build, capture_output=True, check=True)
    except FileNotFoundError as problem:
        pytest.skip(f"{problem.filename} is not installed")


def attributes(path: Path, prefix: str) -> set[str]:
    found = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    return {name for name in found if name.startswith(prefix)}


def test_cuda_python_has_all_names() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    enums = (runtime.cudaMemcpyKind, runtime.cudaStreamCaptureMode, runtime.cudaError_t)
    used = attributes(Path(str(cuda_python.__file__)), "cuda")
    assert len(used) > 20
    assert {name for name in used if not any(hasattr(where, name) for where in (runtime, *enums))} == set()


def test_nvml_has_all_names() -> None:
    used = attributes(Path(str(nvml.__file__)), "nvml") | attributes(Path(str(nvml.__file__)), "NVML")
    assert len(used) > 10
    assert {name for name in used if not hasattr(pynvml, name)} == set()
    bits = {
        pynvml.nvmlClocksEventReasonSwPowerCap: 4,
        pynvml.nvmlClocksThrottleReasonHwSlowdown: 8,
        pynvml.nvmlClocksEventReasonSwThermalSlowdown: 32,
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: 64,
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: 128,
    }
    assert list(bits) == list(bits.values()) == sorted(nvml.SLOWED_BY)
    assert pynvml.nvmlClocksEventReasonApplicationsClocksSetting == nvml.APPLICATION_CLOCKS


def test_nothing_loads_a_gpu_library_on_import() -> None:
    """Backends are listed on machines that have none. (torch itself loads cuda-python where it is.)"""
    code = (
        "import sys; from exporters import backends; [backends.load(n) for n in backends.names()]; "
        "print([m for m in ('tensorrt', 'tensorrt_rtx', 'pycuda') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.long
def test_pycuda_has_all_names(tmp_path: Path) -> None:
    """It is built from source, with the CUDA toolkit; its source tells the names."""
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "--no-build-isolation"]
    if subprocess.run([*fetch, "-d", str(tmp_path), "pycuda==2026.1"], capture_output=True).returncode:
        pytest.skip("pycuda's source can't be fetched here")
    (archive,) = tmp_path.glob("pycuda*.tar.gz")
    with tarfile.open(archive) as files:
        (member,) = (m for m in files.getmembers() if m.name.endswith("src/wrapper/wrap_cudadrv.cpp"))
        source = files.extractfile(member)
        assert source is not None
        text = source.read().decode()
    (pycuda,) = (
        node
        for node in ast.parse(Path(str(pycuda_memory.__file__)).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "PyCuda"
    )
    ours = {name for name in dir(pycuda_memory.PyCuda) if not name.startswith("__")} | {
        "_claimed",
        "_context",
        "_device",
    }
    ours |= {"_cuda", "_stream", "ordinal", "ascontiguousarray", "ndarray"}
    used = {node.attr for node in ast.walk(pycuda) if isinstance(node, ast.Attribute)} - ours
    assert {"memcpy_htod_async", "retain_primary_context", "time_till"} <= used
    in_python = {"init", "handle"}  # pycuda/driver.py passes these on
    assert {name for name in used - in_python if not re.search(rf"\b{name}\b", text)} == set()
