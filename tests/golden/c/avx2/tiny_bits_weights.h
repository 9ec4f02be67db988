/* Made by bitc 0.1.0 from tiny_bits. */
/* Model sha256: 85d68cc2606af5298964aa1d92bbfeb4ac66c211786543bfd8fd423c5f3bc7a4 */
/* Target: avx2 (x86-64 with AVX2 and FMA (2013 and later)) */
/* Options: none */
/* Constants of the network, in the order the kernels read them. */
#ifndef TINY_BITS_WEIGHTS_H
#define TINY_BITS_WEIGHTS_H

/* f32[1, 8] */
BITC_ALIGN(64) static const float tiny_bits_c0[8] = {
    -0x0p+0f,-0x0p+0f,-0x0p+0f,-0x0p+0f,-0x0p+0f,-0x0p+0f,-0x0p+0f,-0x0p+0f,
};

/* u64[1] */
BITC_ALIGN(64) static const uint64_t tiny_bits_c1[1] = {
    0,
};

/* u64[1, 1, 32] */
BITC_ALIGN(64) static const uint64_t tiny_bits_c2[32] = {
    0x32994c2693c9,0,0,0,0,0,0,
    0,0,0,0,0,0,0,
    0,0,0,0,0,0,0,
    0,0,0,0,0,0,0,
    0,0,0,0,
};

/* i32[1, 1, 32] */
BITC_ALIGN(64) static const int32_t tiny_bits_c3[32] = {
    4,3,4,3,4,2,2147483647,2147483647,2147483647,2147483647,
    2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,
    2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,2147483647,
    2147483647,2147483647,
};

/* u64[1, 1, 32] */
BITC_ALIGN(64) static const uint64_t tiny_bits_c4[32] = {
    0x1c0721,0,0,0,0,0,0,0,0,0,0,0,
    0,0,0,0,0,0,0,0,0,0,0,0,
    0,0,0,0,0,0,0,0,
};

/* i32[1, 32] */
BITC_ALIGN(64) static const int32_t tiny_bits_c5[32] = {
    6,6,6,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
};

#endif
