"""Every attribute that the code reads from an NVIDIA binding exists in that binding.

Most of this code needs a GPU to run. The tests follow the binding through the source of the modules: from its import,
or a parameter annotated `ModuleType`, through assignments, calls and the return types in the binding's docstrings. For
the versions of TensorRT that are not installed, their wheels are downloaded, and this file is run as a program on each.
"""

import ast
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pynvml
import pytest

import exporters
from exporters.cuda import nvml
from exporters.cuda.features import features_of
from exporters.cuda.session import NUMPY_TYPES
from exporters.cuda.weak_types import CONVERSIONS

ANY_TENSORRT = (
    "exporters.cuda.tensorrt_runtime",
    "exporters.cuda.builder",
    "exporters.cuda.parsing",
    "exporters.cuda.session",
    "exporters.cuda.trt_logger",
)
RTX_ONLY, WEAKLY_TYPED_ONLY = "exporters.cuda.compute_capability", "exporters.cuda.weak_types"
SOURCES = {  # binding -> the modules that use it
    "tensorrt_rtx": (*ANY_TENSORRT, RTX_ONLY),
    "cuda.bindings.runtime": ("exporters.cuda.cuda_python",),
    "pynvml": ("exporters.cuda.nvml",),
    "pycuda.driver": ("exporters.cuda.pycuda_memory",),
}
OPAQUE = object()  # stands for a binding that is not installed, and for every value that it returns
Key = tuple[str, str]  # (function, variable), or ("", attribute of self)


def text_of(module: str) -> str:
    return Path(str(import_module(module).__file__)).read_text()


def return_type(binding: object, function: object) -> object | None:
    """The class that a function of a binding returns, by the signature in its docstring; a class returns itself."""
    if function is OPAQUE or isinstance(function, type):
        return function
    signature = re.search(r"-> [\w.:]*?I?(\w+)\s*$", function.__doc__ or "", re.MULTILINE)
    if signature is None:
        return None
    names = (signature[0].split()[-1].replace("::", ".").rpartition(".")[2], signature[1])
    return next((getattr(binding, name) for name in names if hasattr(binding, name)), None)


@dataclass
class Uses:
    """The attributes that a source text reads from a binding."""

    binding: object
    tree: ast.Module
    types: dict[Key, object] = field(default_factory=dict)
    uses: set[tuple[object, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        defined = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        self.functions = {function.name: function for function in defined}
        size = -1
        while size != len(self.types) + len(self.uses):  # until nothing new is learned
            size = len(self.types) + len(self.uses)
            for function in defined:
                self._follow(function)

    def missing(self) -> set[str]:
        return {name for name, owner, attribute in self.named() if not hasattr(owner, attribute)}

    def names(self) -> set[str]:
        """The uses as `Builder.create_network`, or `float32` for an attribute of the module."""
        return {name for name, _, _ in self.named()}

    def named(self) -> Iterator[tuple[str, object, str]]:
        for owner, attribute in self.uses:
            prefix = f"{owner.__qualname__}." if isinstance(owner, type) else ""
            yield prefix + attribute, owner, attribute

    def _follow(self, function: ast.FunctionDef) -> None:
        scope = function.name
        for parameter in function.args.args:
            if _is_module(parameter.annotation):
                self._learn(scope, ast.Name(parameter.arg), self.binding)
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    for target, value in zip(targets, values, strict=True):
                        self._learn(scope, target, self._type(scope, value))
                case ast.Assign(targets=[target], value=value) | ast.For(target=target, iter=value):
                    self._learn(scope, target, self._type(scope, value))
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._learn(scope, target, self._type(scope, value))
                case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                    self._learn(scope, target, self._type(scope, value))
                case ast.Call(func=called, args=arguments):
                    self._pass(scope, called, arguments)
                case ast.Return(value=ast.expr() as value):
                    self._learn(scope, ast.Name("return"), self._type(scope, value))
                case ast.Attribute():
                    self._type(scope, node)

    def _learn(self, scope: str, target: ast.expr, value: object | None) -> None:
        if value is not None and (key := _key(scope, target)):
            self.types.setdefault(key, value)

    def _pass(self, scope: str, called: ast.expr, arguments: list[ast.expr]) -> None:
        """Give the parameters of a function of this source the types of the arguments."""
        function = self._local(called)
        if function is None:
            return
        parameters = [parameter.arg for parameter in function.args.args if parameter.arg != "self"]
        for parameter, argument in zip(parameters, arguments, strict=False):
            self._learn(function.name, ast.Name(parameter), self._type(scope, argument))

    def _local(self, called: ast.expr) -> ast.FunctionDef | None:
        match called:
            case (
                ast.Name(id=name)
                | ast.Attribute(value=ast.Name(id="self" | "compute_capability" | "weak_types"), attr=name)
            ):
                return self.functions.get(name)
        return None

    def _type(self, scope: str, node: ast.expr) -> object | None:
        """The class, module or function of the binding that an expression gives, or None for all else."""
        match node:
            case ast.Name(id=name) if self.binding is not OPAQUE and name == getattr(self.binding, "__name__", ""):
                return self.binding  # import pynvml
            case ast.Name() | ast.Attribute(value=ast.Name(id="self")):
                return self.types.get(_key(scope, node) or ("", ""))
            case ast.Call(func=ast.Name(id="import_module")):
                return self.binding
            case ast.Call(func=called):
                return self._returned(scope, called)
            case ast.Attribute(value=value, attr=attribute):
                return self._attribute(self._type(scope, value), attribute)
            case ast.ListComp(elt=item) | ast.Subscript(value=item):  # of a sequence, its items
                return self._type(scope, item)
            case ast.IfExp(body=body, orelse=otherwise):
                return self._type(scope, body) or self._type(scope, otherwise)
        return None

    def _returned(self, scope: str, called: ast.expr) -> object | None:
        function = self._local(called)
        if function is None:
            of_binding = self._type(scope, called)
            return None if of_binding is None else return_type(self.binding, of_binding)
        return self.binding if _is_module(function.returns) else self.types.get((function.name, "return"))

    def _attribute(self, owner: object | None, name: str) -> object | None:
        if owner is None or not (owner is OPAQUE or owner is self.binding or isinstance(owner, type)):
            return None
        self.uses.add((owner, name))
        return OPAQUE if owner is OPAQUE else getattr(owner, name, None)


def _is_module(annotation: ast.expr | None) -> bool:
    return annotation is not None and "ModuleType" in ast.unparse(annotation)


def _key(scope: str, target: ast.expr) -> Key | None:
    match target:
        case ast.Name(id=name):
            return scope, name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return "", name
    return None


def uses(modules: Sequence[str], binding: object) -> Uses:
    """The uses of a binding in modules that pass its objects to each other."""
    bodies = (ast.parse(text_of(module)).body for module in modules)
    return Uses(binding, ast.Module([statement for body in bodies for statement in body], []))


@pytest.mark.parametrize("name", SOURCES)
def test_every_attribute_exists_in_the_installed_binding(name: str) -> None:
    binding = pytest.importorskip(name, reason=f"{name} is not installed")
    assert uses(SOURCES[name], binding).missing() == set()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tensorrt_rtx", {"float32", "BuilderFlag.TF32", "Builder.create_network", "ITensor.shape", "DataType.name"}),
        (
            "tensorrt_rtx",
            {"IBuilderConfig.set_timing_cache", "ParserError.node_name", "INetworkDefinition.num_outputs"},
        ),
        ("tensorrt_rtx", {"Runtime.deserialize_cuda_engine", "ICudaEngine.get_tensor_mode"}),
        ("tensorrt_rtx", {"IExecutionContext.execute_async_v3", "EngineInspector.get_engine_information"}),
        ("tensorrt_rtx", {"IBuilderConfig.set_compute_capability", "ICudaEngine.create_runtime_config"}),
        ("cuda.bindings.runtime", {"cudaMemcpyAsync", "cudaMemcpyKind.cudaMemcpyDeviceToHost", "cudaGraphLaunch"}),
        ("pynvml", {"nvmlInit", "NVMLError", "nvmlDeviceGetUUID", "NVML_CLOCK_SM"}),
    ],
)
def test_attributes_are_followed_through_the_code(name: str, expected: set[str]) -> None:
    binding = pytest.importorskip(name, reason=f"{name} is not installed")
    assert expected <= uses(SOURCES[name], binding).names()


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("def f(trt: ModuleType): trt.Bilder()", {"Bilder"}),
        ("def f(trt: ModuleType): return trt.BuilderFlag.TF33", {"BuilderFlag.TF33"}),
        (
            "def f(trt: ModuleType):\n x = trt.Builder(0).create_network()\n x.num_input",
            {"INetworkDefinition.num_input"},
        ),
        ("def g(a, x): x.buid()\ndef f(trt: ModuleType): g(0, trt.Builder())", {"Builder.buid"}),
        ("def f(self):\n self.x = import_module('t')\n self.x.Bilder", {"Bilder"}),
        ("def f(trt: ModuleType): trt.Builder().create_network().num_inputs", set()),
    ],
)
def test_a_misspelled_attribute_is_reported(source: str, missing: set[str]) -> None:
    binding = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    assert Uses(binding, ast.parse(source)).missing() == missing


IN_PYTHON = {"__name__", "__version__"}  # defined by the package `tensorrt`, not by the binding
BINDINGS = {  # requirement -> what it lacks of the attributes that the code reads
    "tensorrt-bindings==8.6.1": {"ParserError.node_name", "ParserError.node_operator"},  # features.names_nodes
    "tensorrt-cu12-bindings==10.4.0": set(),
    "tensorrt-cu12-bindings==10.13.3.9": set(),
    "tensorrt-cu13-bindings==11.4.0.106": set(),
}


@pytest.mark.long
@pytest.mark.parametrize(("requirement", "lacks"), BINDINGS.items(), ids=BINDINGS)
def test_every_driven_version_has_the_attributes(requirement: str, lacks: set[str], tmp_path: Path) -> None:
    """TensorRT needs NVIDIA's libraries, but its binding can be imported with empty libraries in their place."""
    features = features_of("tensorrt", requirement.partition("==")[2])
    wheel = _download(requirement, tmp_path, "--only-binary=:all:")
    package = tmp_path / "package" / "bindings"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    with ZipFile(wheel) as archive:
        (package / "tensorrt.so").write_bytes(archive.read("tensorrt_bindings/tensorrt.so"))
    _create_empty_libraries(package / "tensorrt.so", tmp_path / "empty")
    modules = ANY_TENSORRT if features.strongly_typed else (*ANY_TENSORRT, WEAKLY_TYPED_ONLY)
    result = subprocess.run(
        [sys.executable, __file__, str(package.parent), *modules],
        capture_output=True,
        text=True,
        env={"LD_LIBRARY_PATH": str(tmp_path / "empty"), "PYTHONPATH": str(Path(exporters.__file__).parents[1])},
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert set(report["missing"]) - IN_PYTHON == lacks
    assert len(report["names"]) > 50, "the code is followed into this version's classes"
    assert features.network_flag in report["members"]["NetworkDefinitionCreationFlag"]
    assert set(NUMPY_TYPES) <= set(report["members"]["DataType"])
    assert set(CONVERSIONS) <= set(report["members"]["LayerType"])


def report_on_binding(folder: str, modules: Sequence[str]) -> None:
    """Print what the binding in `folder` has and lacks, as JSON."""
    sys.path.insert(0, folder)
    binding = import_module("bindings.tensorrt")
    found = uses(modules, binding)
    enums = ("NetworkDefinitionCreationFlag", "DataType", "LayerType")
    members = {name: list(getattr(binding, name).__members__) for name in enums}
    report = {"missing": sorted(found.missing()), "names": sorted(found.names()), "members": members}
    sys.stdout.write(json.dumps(report))


def _download(requirement: str, folder: Path, wheels: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", wheels]
    if subprocess.run([*command, "-d", str(folder), requirement], capture_output=True).returncode:
        pytest.skip(f"{requirement} cannot be downloaded for this Python and system")
    (file,) = folder.iterdir()
    return file


def _create_empty_libraries(binding: Path, folder: Path) -> None:
    """Create libraries whose functions do nothing, with all symbols that the binding needs to load."""
    folder.mkdir()
    try:
        dependencies = subprocess.run(["objdump", "-p", binding], capture_output=True, text=True, check=True).stdout
        undefined = subprocess.run(
            ["nm", "-D", "--undefined-only", binding], capture_output=True, text=True, check=True
        )
        symbols = {line.split()[-1].partition("@")[0] for line in undefined.stdout.splitlines()}
        functions = sorted(symbol for symbol in symbols if symbol[:3] in ("cre", "get", "ini") or "parser" in symbol)
        (folder / "empty.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
        for library in (line.split()[1] for line in dependencies.splitlines() if "NEEDED" in line and "libnv" in line):
            build = ["gcc", "-shared", "-fPIC", "-o", folder / library, f"-Wl,-soname,{library}", folder / "empty.c"]
            subprocess.run(build, capture_output=True, check=True)
    except FileNotFoundError as problem:
        pytest.skip(f"{problem.filename} is not installed")


@pytest.mark.long
def test_pycuda_has_all_attributes(tmp_path: Path) -> None:
    """PyCUDA is built with the CUDA toolkit, so that most machines do not have it; its source contains the names."""
    with tarfile.open(_download("pycuda==2026.1", tmp_path, "--no-binary=:all:")) as files:
        (member,) = (m for m in files.getmembers() if m.name.endswith("src/wrapper/wrap_cudadrv.cpp"))
        source = files.extractfile(member)
        assert source is not None
        text = source.read().decode()
    names = uses(SOURCES["pycuda.driver"], OPAQUE).names()
    assert {"memcpy_htod_async", "retain_primary_context", "time_till"} <= names
    in_python = {"init", "handle"}  # pycuda/driver.py passes these on
    assert {name for name in names - in_python if not re.search(rf"\b{name}\b", text)} == set()


def test_nvml_reason_bits_are_those_of_the_binding() -> None:
    bits = {
        pynvml.nvmlClocksEventReasonSwPowerCap: 4,
        pynvml.nvmlClocksThrottleReasonHwSlowdown: 8,
        pynvml.nvmlClocksEventReasonSwThermalSlowdown: 32,
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: 64,
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: 128,
    }
    assert list(bits) == list(bits.values()) == sorted(nvml.SLOWED_BY)
    assert pynvml.nvmlClocksEventReasonApplicationsClocksSetting == nvml.APPLICATION_CLOCKS


def test_importing_the_backends_loads_no_gpu_library() -> None:
    """Backends are listed on machines without a GPU library. (torch imports cuda-python itself.)"""
    code = (
        "import sys; from exporters import backends; [backends.load(n) for n in backends.names()]; "
        "print([m for m in ('tensorrt', 'tensorrt_rtx', 'pycuda') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


if __name__ == "__main__":
    report_on_binding(sys.argv[1], sys.argv[2:])
