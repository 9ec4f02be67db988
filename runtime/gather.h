/* Gather along one axis: rows picked by constant indices. */
#ifndef BITC_GATHER_H
#define BITC_GATHER_H

#include "base.h"

/* x [outer][len][run_bytes], indices [count], each in 0 .. len-1 -> y [outer][count][run_bytes]; x and y do not overlap. */
static inline void bitc_gather(const void *x, const int32_t *indices, void *y, int32_t outer, int32_t len, int32_t count,
                               int32_t run_bytes) {
    const unsigned char *from = (const unsigned char *)x;
    unsigned char *to = (unsigned char *)y;
    for (int32_t o = 0; o < outer; o++, from += (ptrdiff_t)len * run_bytes) {
        for (int32_t i = 0; i < count; i++, to += run_bytes) {
            memcpy(to, from + (ptrdiff_t)indices[i] * run_bytes, (size_t)run_bytes);
        }
    }
}

#endif
