"""The compiled half of the scanning reader: C sources, the library that they are built into, and what calls it.

``kernel.h`` says what the parts share; ``masks.h`` looks at 64 bytes at once with what the processor offers. The build
hook (``hatch_build.py``) compiles ``kernel.c``, which includes the other parts, once for each level of processors into
one ``libkernel.so``; ``library`` loads it and takes the best level that this processor can run. ``kernel`` and
``children`` are its functions and constants, ``stamp`` what tells a library of other sources.
"""
