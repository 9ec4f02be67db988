/* Made by bitc 0.1.0 from tiny_bits. */
/* Model sha256: 85d68cc2606af5298964aa1d92bbfeb4ac66c211786543bfd8fd423c5f3bc7a4 */
/* Target: portable (C99, any CPU) */
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

/* u64[1, 1, 8] */
BITC_ALIGN(64) static const uint64_t tiny_bits_c2[8] = {
    0xc9,0x93,0x26,0x4c,0x99,0x32,0,0,
};

/* i32[1, 1, 8] */
BITC_ALIGN(64) static const int32_t tiny_bits_c3[8] = {
    4,3,4,3,4,2,2147483647,2147483647,
};

/* u64[1, 1, 8] */
BITC_ALIGN(64) static const uint64_t tiny_bits_c4[8] = {
    0x21,7,0x1c,0,0,0,0,0,
};

/* i32[1, 8] */
BITC_ALIGN(64) static const int32_t tiny_bits_c5[8] = {
    6,6,6,0,0,0,0,0,
};

#endif
