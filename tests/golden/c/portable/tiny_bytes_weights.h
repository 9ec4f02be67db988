/* Made by bitc 0.1.0 from tiny_bytes. */
/* Model sha256: dfca1e831ce1842c1d00cc75491590b3a41304c62fba7e34f574428a146b7bfc */
/* Target: portable (C99, any CPU) */
/* Options: none */
/* Constants of the network, in the order the kernels read them. */
#ifndef TINY_BYTES_WEIGHTS_H
#define TINY_BYTES_WEIGHTS_H

/* u8[2] */
BITC_ALIGN(64) static const uint8_t tiny_bytes_c0[2] = {
    4,4,
};

/* i8[1, 4, 18, 1, 1] */
BITC_ALIGN(64) static const int8_t tiny_bytes_c1[72] = {
    -3,1,-1,3,1,-2,3,0,-2,2,0,-3,2,-1,-3,1,-1,3,-2,2,0,-3,2,-1,-3,1,-1,3,1,-2,3,0,-2,2,0,-3,-1,3,
    1,-2,3,0,-2,2,0,-3,2,-1,-3,1,-1,3,1,-2,0,-3,2,-1,-3,1,-1,3,1,-2,3,0,-2,2,0,-3,2,-1,
};

/* i32[4] */
BITC_ALIGN(64) static const int32_t tiny_bytes_c2[4] = {
    0,12,-4,8,
};

/* f32[1, 1, 1, 4] */
BITC_ALIGN(64) static const float tiny_bytes_c3[4] = {
    0x1p-4f,0x1p-5f,0x1p-6f,0x1p-3f,
};

#endif
