"""The machine: boxes, traces, primitives and the tape. It knows no operation."""
