/* Made by bitc 0.1.0 from tiny_floats. */
/* Model sha256: b9fc7e70915ff3a1a6e9ae0c8a63d0ccecc30ec4c140e3e5d58ab3ee94e09d55 */
/* Target: portable (C99, any CPU) */
/* Options: none */
/* Constants of the network, in the order the kernels read them. */
#ifndef TINY_FLOATS_WEIGHTS_H
#define TINY_FLOATS_WEIGHTS_H

/* f32[1, 1, 4, 8] */
BITC_ALIGN(64) static const float tiny_floats_c0[32] = {
    -0x1.cccccep-1f,-0x1.333334p-1f,-0x1.333334p-2f,0x0p+0f,0x0p+0f,0x0p+0f,0x0p+0f,
    0x0p+0f,-0x1.333334p-2f,0x0p+0f,0x1.333334p-2f,0x0p+0f,0x0p+0f,0x0p+0f,
    0x0p+0f,0x0p+0f,0x1.333334p-2f,0x1.333334p-1f,0x1.cccccep-1f,0x0p+0f,0x0p+0f,
    0x0p+0f,0x0p+0f,0x0p+0f,0x1.cccccep-1f,-0x1.cccccep-1f,-0x1.333334p-1f,0x0p+0f,
    0x0p+0f,0x0p+0f,0x0p+0f,0x0p+0f,
};

#endif
