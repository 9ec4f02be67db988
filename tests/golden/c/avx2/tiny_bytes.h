/* Made by bitc 0.1.0 from tiny_bytes. */
/* Model sha256: dfca1e831ce1842c1d00cc75491590b3a41304c62fba7e34f574428a146b7bfc */
/* Target: avx2 (x86-64 with AVX2 and FMA (2013 and later)) */
/* Options: none */
#ifndef TINY_BYTES_H
#define TINY_BYTES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TINY_BYTES_ARENA_BYTES 640
#define TINY_BYTES_ARENA_ALIGN 64
#define TINY_BYTES_WEIGHT_BYTES 466
#define TINY_BYTES_MODEL_SHA256 "dfca1e831ce1842c1d00cc75491590b3a41304c62fba7e34f574428a146b7bfc"

/* cffi: begin */
typedef struct tiny_bytes_io {
    const float *x; /* input x [1, 2, 4, 4] */
    float *y; /* output y [1, 4, 4, 4] */
} tiny_bytes_io;

/* Runs the network. `arena` is scratch memory of TINY_BYTES_ARENA_BYTES bytes aligned to TINY_BYTES_ARENA_ALIGN, one for each
 * concurrent call; nothing in it needs to be set or kept. Inputs and outputs may not overlap.
 * Returns 0, or 1 if a pointer is null or the arena is not aligned. */
int tiny_bytes_run(const tiny_bytes_io *io, void *arena);

/* What was compiled, as JSON. */
const char *tiny_bytes_metadata(void);
/* cffi: end */

#ifdef __cplusplus
}
#endif

#endif
