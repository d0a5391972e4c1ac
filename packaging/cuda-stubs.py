#!/usr/bin/env python3
"""Lays out a CUDA toolkit whose libraries are opened at the first call, so that a program built with it starts where they are missing.

    packaging/cuda-stubs.py FOLDER [TOOLKIT]

FOLDER gets bin, include and nvvm of TOOLKIT (that of nvcc on PATH), its static runtime, and archives libcuda.a, libcublas.a, libcublasLt.a,
libcurand.a and libnvrtc.a: each function in them opens the real library with dlopen and goes on there. Where there is none, it returns an error, which
the daemon logs before it goes on without the GPU. Names of functions are taken from the crate cudarc of Cargo.lock. For x86-64 alone; needs gcc
and binutils. Build with CUDA_HOME=FOLDER and LIBRARY_PATH=FOLDER/lib.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# library: module of cudarc, names to open, the status that says that it is missing
LIBRARIES = {
    "cuda": ("driver", ["libcuda.so.1", "libcuda.so"], 34),
    "nvrtc": ("nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12"], 11),
    "curand": ("curand", ["libcurand.so.10"], 203),
    "cublas": ("cublas", ["libcublas.so.13", "libcublas.so.12"], 1),
    "cublasLt": ("cublaslt", ["libcublasLt.so.13", "libcublasLt.so.12"], 1),
}
FOLDERS = ["/usr/local/cuda/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"]

# A function jumps to where its entry says: at first to `lazy`, which keeps the arguments, has the entry filled in and goes on.
FUNCTION = """
.globl {f}
.type {f},@function
{f}: jmp *.Lentry_{f}(%rip)
.Lfirst_{f}: leaq .Lentry_{f}(%rip), %r11
 pushq %r11
 jmp lazy
.size {f}, .-{f}
.data
.p2align 3
.Lentry_{f}: .quad .Lfirst_{f}, .Lname_{f}
.section .rodata
.Lname_{f}: .asciz "{f}"
.text"""
REGISTERS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"]
LAZY = ("lazy:\n" + "".join(f" pushq %{name}\n" for name in REGISTERS) + " subq $128, %rsp\n"
        + "".join(f" movups %xmm{i}, {16 * i}(%rsp)\n" for i in range(8))
        + " movq 176(%rsp), %rdi\n call {lib}_lazy_resolve\n movq %rax, %r11\n"
        + "".join(f" movups {16 * i}(%rsp), %xmm{i}\n" for i in range(8)) + " addq $128, %rsp\n"
        + "".join(f" popq %{name}\n" for name in reversed(REGISTERS))
        + " addq $8, %rsp\n jmp *%r11\n.section .note.GNU-stack,\"\",@progbits\n")
RESOLVE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
struct entry { void *target; const char *name; };
static const char *const NAMES[] = { @NAMES@ }, *const FOLDERS[] = { @FOLDERS@ };
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *library;
static char why[512];
static void open_library(void) {
  for (unsigned i = 0; !library && i < sizeof NAMES / sizeof *NAMES; i++) {
    library = dlopen(NAMES[i], RTLD_NOW | RTLD_GLOBAL);
    if (!library && !i) snprintf(why, sizeof why, "%s", dlerror());
    for (unsigned j = 0; !library && j < sizeof FOLDERS / sizeof *FOLDERS; j++) {
      char path[4096];
      snprintf(path, sizeof path, "%s/%s", FOLDERS[j], NAMES[i]);
      library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    }
  }
  if (!library && strncmp(NAMES[0], "libcuda", 7)) fprintf(stderr, "%s\n", why);
}
static int status(void) { return @STATUS@; }
static const char *text(void) { return why; }
/* cuGetErrorString and cuGetErrorName */
static int text_out(int error, const char **to) { (void)error; *to = why; return 0; }
__attribute__((visibility("hidden"))) void *@LIB@_lazy_resolve(struct entry *entry) {
  pthread_once(&once, open_library);
  void *found = library ? dlsym(library, entry->name) : 0;
  if (library && !found) snprintf(why, sizeof why, "%s has no function %s", NAMES[0], entry->name);
  if (!found && !strncmp(entry->name, "cuGetError", 10)) found = (void *)text_out;
  if (!found && (strstr(entry->name, "GetErrorString") || strstr(entry->name, "GetStatus"))) found = (void *)text;
  if (!found) found = (void *)status;
  __atomic_store_n(&entry->target, found, __ATOMIC_RELEASE);
  return found;
}
"""


def cudarc():
    """The folder of its source."""
    lock = (Path(__file__).resolve().parent.parent / "Cargo.lock").read_text()
    version = re.search(r'name = "cudarc"\nversion = "(.*)"', lock)[1]
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    found = list(home.glob(f"registry/src/*/cudarc-{version}"))
    return found[0] if found else sys.exit(f"no source of cudarc {version}: cargo fetch")


def archive(lib, source, out, work):
    """Writes out/lib{lib}.a, and gives the number of its functions."""
    module, names, status = LIBRARIES[lib]
    functions = sorted(set(re.findall(r'extern "C" \{\s*fn (\w+)\(', (source / "src" / module / "sys" / "mod.rs").read_text())))
    if not functions:
        sys.exit(f"no functions of {lib} in {source}")
    quoted = lambda texts: ", ".join(f'"{text}"' for text in texts)  # noqa: E731
    text = RESOLVE.replace("@NAMES@", quoted(names)).replace("@FOLDERS@", quoted(FOLDERS))
    (work / "resolve.c").write_text(text.replace("@LIB@", lib).replace("@STATUS@", str(status)))
    (work / "functions.S").write_text(".text" + "".join(FUNCTION.format(f=name) for name in functions) + "\n" + LAZY.replace("{lib}", lib))
    objects = []
    for name in ["resolve.c", "functions.S"]:
        objects.append(work / f"{lib}-{name}.o")
        subprocess.run(["gcc", "-c", "-O2", "-fPIC", "-Wall", "-o", objects[-1], work / name], check=True)
    subprocess.run(["ar", "rcsD", out / f"lib{lib}.a", *objects], check=True)
    return len(functions)


def main():
    folder = Path(sys.argv[1])
    nvcc = shutil.which("nvcc")
    toolkit = Path(sys.argv[2]) if len(sys.argv) > 2 else nvcc and Path(nvcc).resolve().parent.parent
    if not toolkit:
        sys.exit("no CUDA toolkit: nvcc is not on PATH, and none is named")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lib").mkdir(parents=True)
    (folder / "lib64").symlink_to("lib")
    for part in ["bin", "include", "nvvm", "targets"]:
        if (toolkit / part).exists():
            (folder / part).symlink_to((toolkit / part).resolve())
    for name in ["cudart_static", "cudadevrt"]:
        found = [at for at in (toolkit / part / f"lib{name}.a" for part in ["lib64", "lib", "targets/x86_64-linux/lib"]) if at.exists()]
        (folder / "lib" / f"lib{name}.a").symlink_to(found[0].resolve() if found else sys.exit(f"no lib{name}.a in {toolkit}"))
    # the static runtime answers for -lcudart
    (folder / "lib" / "libcudart.a").symlink_to("libcudart_static.a")
    with tempfile.TemporaryDirectory() as work:
        counts = {lib: archive(lib, cudarc(), folder / "lib", Path(work)) for lib in LIBRARIES}
    print(f"{folder}: " + ", ".join(f"{lib} {count}" for lib, count in counts.items()) + " functions")


if __name__ == "__main__":
    main()
