"""Builds the module `quotes_speedups`. Set CFLAGS to add options of the compiler."""

from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent
SOURCES = sorted(str(path.relative_to(HERE)) for path in (HERE / "src").glob("*.c"))

setup(
    ext_modules=[
        Extension(
            "quotes_speedups",
            sources=SOURCES,
            depends=["src/speedups.h"],
            extra_compile_args=["-O3", "-std=c11", "-fvisibility=hidden"],
        )
    ],
    py_modules=[],
)
