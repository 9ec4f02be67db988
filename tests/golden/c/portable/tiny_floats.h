/* Made by bitc 0.1.0 from tiny_floats. */
/* Model sha256: b9fc7e70915ff3a1a6e9ae0c8a63d0ccecc30ec4c140e3e5d58ab3ee94e09d55 */
/* Target: portable (C99, any CPU) */
/* Options: none */
#ifndef TINY_FLOATS_H
#define TINY_FLOATS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TINY_FLOATS_ARENA_BYTES 128
#define TINY_FLOATS_ARENA_ALIGN 64
#define TINY_FLOATS_WEIGHT_BYTES 128
#define TINY_FLOATS_MODEL_SHA256 "b9fc7e70915ff3a1a6e9ae0c8a63d0ccecc30ec4c140e3e5d58ab3ee94e09d55"

/* cffi: begin */
typedef struct tiny_floats_io {
    const float *x; /* input x [1, 1, 4, 4] */
    float *y; /* output y [1, 3] */
    size_t batch; /* items (N); the shapes above are of one item */
} tiny_floats_io;

/* Runs the network. `arena` is scratch memory of TINY_FLOATS_ARENA_BYTES bytes aligned to TINY_FLOATS_ARENA_ALIGN, one for each
 * concurrent call; nothing in it needs to be set or kept. Inputs and outputs may not overlap.
 * Returns 0, or 1 if a pointer is null or the arena is not aligned. */
int tiny_floats_run(const tiny_floats_io *io, void *arena);

/* What was compiled, as JSON. */
const char *tiny_floats_metadata(void);
/* cffi: end */

#ifdef __cplusplus
}
#endif

#endif
