/* Made by bitc 0.1.0 from tiny_bits. */
/* Model sha256: 85d68cc2606af5298964aa1d92bbfeb4ac66c211786543bfd8fd423c5f3bc7a4 */
/* Target: portable (C99, any CPU) */
/* Options: none */
#ifndef TINY_BITS_H
#define TINY_BITS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TINY_BITS_ARENA_BYTES 128
#define TINY_BITS_ARENA_ALIGN 64
#define TINY_BITS_WEIGHT_BYTES 232
#define TINY_BITS_MODEL_SHA256 "85d68cc2606af5298964aa1d92bbfeb4ac66c211786543bfd8fd423c5f3bc7a4"

/* cffi: begin */
typedef struct tiny_bits_io {
    const float *x; /* input x [1, 8] */
    float *y; /* output y [1, 3] */
} tiny_bits_io;

/* Runs the network. `arena` is scratch memory of TINY_BITS_ARENA_BYTES bytes aligned to TINY_BITS_ARENA_ALIGN, one for each
 * concurrent call; nothing in it needs to be set or kept. Inputs and outputs may not overlap.
 * Returns 0, or 1 if a pointer is null or the arena is not aligned. */
int tiny_bits_run(const tiny_bits_io *io, void *arena);

/* What was compiled, as JSON. */
const char *tiny_bits_metadata(void);
/* cffi: end */

#ifdef __cplusplus
}
#endif

#endif
